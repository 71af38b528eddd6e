"""The settings of the scheduler core, built once by the shell."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """How the core decides; every span of time in seconds."""

    #: how long after a start, or after a client resumed, unclaimed tasks are held back for clusters that may have them
    recovery_s: float = 3.0
    #: the same while peers still arrive
    recovery_max_s: float = 5.0
    #: so long after a start a client that has not come back may still come, and what clusters have of it is kept
    client_timeout_s: float = 60.0
    #: clients may not stop the scheduler
    is_protected: bool = False
    #: a client of which so many tasks wait keeps its others; None for no limit
    max_queued_tasks: int | None = None
    #: while arguments, functions and inputs take so much, the clients with the most keep their tasks; None for no limit
    memory_limit_bytes: int | None = None
    #: how much work a cluster is given ahead of time
    lookahead_s: float = 0.15
    #: argument bytes at one cluster, not yet finished; below the link's window
    cluster_bytes: int = 8 << 20
    #: what may be on its way to one client and not acknowledged: the window of its link
    window_bytes: int = 16 << 20
    #: bytes of results kept after a restart for clients that have not come back; clusters keep the rest, and are asked
    #: for it then. Four link windows of 16 MiB: enough for a quick return, little for a host
    early_bytes: int = 64 << 20
    #: while clusters keep so much of outcomes that a client has not taken, nothing more of it is placed
    untaken_bytes: int = 256 << 20
    #: bytes of functions that no batch names, kept for the next one
    idle_function_bytes: int = 64 << 20
