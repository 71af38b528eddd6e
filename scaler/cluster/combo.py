"""`SchedulerClusterCombo`: a scheduler and one worker cluster on this machine, for as long as this object lives."""

import atexit
import contextlib
import time
import warnings
import weakref
from types import TracebackType
from typing import Any, Self

from scaler.cluster.children import Child
from scaler.errors import ConfigurationError

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0

#: keywords of Scaler that have nothing to say here, and what to use instead
MEANINGLESS = {
    "per_worker_task_queue_size": "look-ahead is measured in time",
    "per_worker_queue_size": "look-ahead is measured in time",
    "object_retention_seconds": "references decide how long objects live",
    "load_balance_seconds": "balancing is always on",
    "load_balance_trigger_times": "balancing is always on",
    "hard_processor_suspend": "no worker is ever suspended",
    "worker_io_threads": "one I/O thread is enough",
    "scheduler_io_threads": "one I/O thread is enough",
    "garbage_collect_interval_seconds": "nothing needs it",
    "trim_memory_threshold_bytes": "nothing needs it",
    "object_storage_address": "objects need no server",
    "scaler_policy": "placement needs no policy",
    "security_config": "use the key directory (scaler keygen) and key_file",
    "worker_manager_id": "nothing needs it",
}

_living: "weakref.WeakSet[SchedulerClusterCombo]" = weakref.WeakSet()


class SchedulerClusterCombo:
    """A scheduler and `n_workers` workers of `threads_per_worker` slots each, as commands on this machine.

    `address` is where the scheduler listens; by default a free port on 127.0.0.1. `death_timeout_seconds` is how long
    the workers outlive their scheduler. It ends with `shutdown()`, with the `with` block, or with this process,
    however that ends. Keywords of Scaler without a meaning here are accepted with a `DeprecationWarning`.
    """

    def __init__(
        self,
        n_workers: int,
        address: str | None = None,
        *,
        threads_per_worker: int = 1,
        monitor_address: str | None = None,
        heartbeat_interval_seconds: float = 2,
        client_timeout_seconds: float = 60,
        worker_timeout_seconds: float = 60,
        death_timeout_seconds: float = 300,
        protected: bool = True,
        event_loop: str = "builtin",
        logging_paths: tuple[str, ...] = (),
        logging_level: str = "INFO",
        logging_config_file: str | None = None,
        key_file: str | None = None,
        **others: Any,
    ) -> None:
        if n_workers < 0 or threads_per_worker < 1:
            raise ConfigurationError(
                "n_workers must be 0 or more and threads_per_worker 1 or more"
            )
        _warn_of(others)
        common = ["--logging-level", logging_level, "--event-loop", event_loop]
        common += (
            ["--logging-config-file", logging_config_file]
            if logging_config_file
            else []
        )
        common += [word for path in logging_paths for word in ("--logging-paths", path)]
        common += ["--key-file", key_file] if key_file else []
        scheduler = ["scheduler", address or "tcp://127.0.0.1:0", *common]
        scheduler += ["--protected" if protected else "--no-protected"]
        scheduler += ["--client-timeout-seconds", f"{client_timeout_seconds:g}"]
        scheduler += ["--worker-timeout-seconds", f"{worker_timeout_seconds:g}"]
        scheduler += ["--monitor-address", monitor_address] if monitor_address else []
        worker = [
            "worker",
            *common,
            "-n",
            str(n_workers),
            "--threads",
            str(threads_per_worker),
        ]
        worker += ["--heartbeat-interval", f"{heartbeat_interval_seconds:g}"]
        worker += ["--death-timeout-seconds", f"{death_timeout_seconds:g}"]
        self._children: list[Child] = []
        _living.add(self)
        quiet = not logging_paths
        try:
            self._children.append(Child(scheduler, quiet=quiet))
            self._address = self._children[0].wait_ready(START_TIMEOUT_S)
            if n_workers:
                self._children.append(Child([*worker, self._address], quiet=quiet))
        except BaseException:
            self.shutdown()
            raise

    def get_address(self) -> str:
        """Where clients reach the scheduler."""
        return self._address

    def shutdown(self) -> None:
        """Stop the workers and the scheduler; returns when no process of them is left. May be called twice."""
        children, self._children = self._children, []
        for child in reversed(children):
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in reversed(children):
            child.finish(deadline)
        _living.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return (
            f"<SchedulerClusterCombo {self._address if self._children else 'stopped'}>"
        )


def _warn_of(others: dict[str, Any]) -> None:
    for name in others:
        if name not in MEANINGLESS:
            raise TypeError(
                f"SchedulerClusterCombo() got an unexpected keyword argument {name!r}"
            )
        warnings.warn(
            f"{name} means nothing here: {MEANINGLESS[name]}",
            DeprecationWarning,
            stacklevel=3,
        )


@atexit.register
def _stop_all() -> None:
    """At the interpreter's end nothing is left running."""
    for combo in list(_living):
        with contextlib.suppress(OSError):
            combo.shutdown()
