"""The table of settings, pure data: options, variables, keys of the file, `scaler config show` and the page follow it.

A setting `client_timeout` is the option `--client-timeout`, the variable `SCALER_CLIENT_TIMEOUT` and the key
`client_timeout`, unless it says otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from scaler.cli import kinds
from scaler.cli.kinds import Kind, T_co
from scaler.cluster.discarded import REMEDIES
from scaler.resources import INLINE_BYTES, NO_RESOURCES, Resources
from scaler.worker.config import MOST_PARKED, MOST_THREADS, MOST_WORKERS, default_workers

VARIABLE_PREFIX = "SCALER_"
#: names the file of settings
CONFIG_VARIABLE = "SCALER_CONFIG"


@dataclass(frozen=True)
class Setting(Generic[T_co]):
    """One setting. `otherwise` says in words what holds where no plain default does.

    `spellings` are its options if they are not derived from the name; `also_read` are variables of others that are
    looked at after our own; one that `is_argument` is no option but the word that follows; one that `must_be_typed`
    is taken from the command line alone; `measured` finds a default that depends on the machine.
    """

    name: str
    kind: Kind[T_co]
    default: T_co
    help: str
    otherwise: str = ""
    spellings: tuple[str, ...] = ()
    variable: str = ""
    also_read: tuple[str, ...] = ()
    is_argument: bool = False
    must_be_typed: bool = False
    measured: Callable[[], T_co] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Every way to write it on the command line, the usual one first."""
        return self.spellings or (f"--{self.name.replace('_', '-')}",)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables it is read from, first come first served."""
        return (self.variable or f"{VARIABLE_PREFIX}{self.name.upper()}", *self.also_read)

    @property
    def label(self) -> str:
        """What it is called in a message: the option, or the word that follows."""
        return self.kind.metavar if self.is_argument else self.options[0]

    def value_without(self) -> T_co:
        """Its value if nobody says anything."""
        return self.measured() if self.measured else self.default


#: settings of any kind
Table = tuple[Setting[object], ...]


@dataclass(frozen=True)
class Discarded:
    """An option of Scaler that has nothing to say here: accepted, with a warning unless its value is `harmless`."""

    spellings: tuple[str, ...]
    reason: str
    harmless: str = ""


# ---- both

KEY_FILE: Setting[Path | None] = Setting(
    "key_file", kinds.FILE, None, "The key directory, or for a worker its key file.", "the one of your configuration"
)  # fmt: skip
INSECURE = Setting(
    "insecure", kinds.FLAG, False, "Neither encrypt TCP connections nor ask who connects.", must_be_typed=True
)
INSECURE_OFF_LOOPBACK = Setting(
    "insecure_off_loopback",
    kinds.FLAG,
    False,
    "Allow --insecure where other machines can reach it: they may all run code here.",
    must_be_typed=True,
)
LOG_FORMAT = Setting("log_format", kinds.LOG_FORMAT, "text", "How a line of the log looks.")
LOGGING_LEVEL = Setting("logging_level", kinds.LEVEL, "INFO", "The least level that is logged.")
LOGGING_PATHS = Setting("logging_paths", kinds.FILES, ("/dev/stdout",), "Where the log goes; may be repeated.")
LOGGING_CONFIG_FILE: Setting[Path | None] = Setting(
    "logging_config_file",
    kinds.FILE,
    None,
    "A file for Python's logging.config (INI, YAML or JSON) instead; other logging options then add to it.",
)

#: what stands outside of the sections of a file holds for all of them
SHARED: Table = (
    KEY_FILE,
    INSECURE,
    INSECURE_OFF_LOOPBACK,
    LOG_FORMAT,
    LOGGING_LEVEL,
    LOGGING_PATHS,
    LOGGING_CONFIG_FILE,
)

# ---- the scheduler

LISTEN_ADDRESS: Setting[str | None] = Setting(
    "address",
    kinds.ADDRESS,
    None,
    "Where to listen; port 0 takes any free one.",
    "tcp://127.0.0.1:8516, or the next free port",
    variable="SCALER_SCHEDULER_ADDRESS",
    is_argument=True,
)
MONITOR_ADDRESS: Setting[str | None] = Setting(
    "monitor_address",
    kinds.ADDRESS,
    None,
    "Where the state of the scheduler can be watched.",
    "an ipc:// socket in the run directory",
    spellings=("--monitor-address", "-ma"),
)
PROTECTED = Setting(
    "protected", kinds.FLAG, True, "Refuse clients that ask the scheduler to stop.", spellings=("--protected", "-p")
)
PRIVATE = Setting(
    "private", kinds.FLAG, False, "Let programs that are not told the address of the scheduler not find it."
)
CLIENT_TIMEOUT = Setting(
    "client_timeout",
    kinds.SECONDS,
    60.0,
    "After so long a silence a client counts as gone, and its tasks are cancelled.",
    spellings=("--client-timeout", "--client-timeout-seconds", "-ct"),
)
WORKER_TIMEOUT = Setting(
    "worker_timeout",
    kinds.SECONDS,
    60.0,
    "After so long a silence a worker cluster counts as gone, and its tasks go elsewhere.",
    spellings=("--worker-timeout", "--worker-timeout-seconds", "-wt"),
)
MAX_QUEUED_TASKS: Setting[int | None] = Setting(
    "max_queued_tasks",
    kinds.LIMIT,
    None,
    "A client of which so many tasks wait for workers here keeps its others; what is on its way still comes.",
    "no limit",
    spellings=("--max-queued-tasks", "--max-number-of-tasks-waiting", "-mt"),
)
SCHEDULER_MEMORY_LIMIT: Setting[int | None] = Setting(
    "memory_limit",
    kinds.SCHEDULER_MEMORY,
    None,
    "While arguments, functions and inputs take so much here, the clients with the most keep their new tasks.",
    "no limit",
    variable="SCALER_SCHEDULER_MEMORY_LIMIT",
)
STATE_DIR: Setting[Path | None] = Setting(
    "state_dir",
    kinds.FILE,
    None,
    "Where durable works are kept, on a local disk.",
    "one of yours for each port, made with the first durable work",
)
EVENT_LOOP = Setting(
    "event_loop",
    kinds.EVENT_LOOP,
    "builtin",
    "What the scheduler waits with; uvloop needs the extra of that name.",
    spellings=("--event-loop", "-e"),
)

# ---- the worker cluster

ADDRESS: Setting[str | None] = Setting(
    "address", kinds.ADDRESS, None, "Where the scheduler is.", "your scheduler on this machine", is_argument=True
)
WORKERS = Setting(
    "workers",
    kinds.count(MOST_WORKERS),
    1,
    "How many workers to start.",
    "the CPUs it may use",
    spellings=("-n", "--workers", "--num-of-workers"),
    measured=default_workers,
)
THREADS = Setting("threads", kinds.count(MOST_THREADS), 1, "How many tasks a worker runs at once, in threads.")
MAX_PARKED: Setting[int | None] = Setting(
    "max_parked",
    kinds.count(MOST_PARKED),
    None,
    "How many tasks may wait for tasks that they have submitted, each with a spare worker in its place.",
    "64, or four for each that can run if that is more",
)
TAGS: Setting[tuple[str, ...]] = Setting(
    "tags", kinds.NAMES, (), "A tag of tasks that run here; may be repeated.", spellings=("--tag", "--tags")
)
RESOURCES: Setting[Resources] = Setting(
    "resources", kinds.QUANTITIES, NO_RESOURCES, "What tasks can ask for here, such as gpu=2; may be repeated."
)
NAME: Setting[str | None] = Setting(
    "name", kinds.TEXT, None, "What this worker cluster is called.", "host name and process id"
)
WORKER_NAMES: Setting[tuple[str, ...]] = Setting(
    "worker_names",
    kinds.NAMES,
    (),
    "What the workers are called, one name for each.",
    "their numbers",
    spellings=("--worker-names", "-wn"),
)
HEARTBEAT_INTERVAL = Setting(
    "heartbeat_interval",
    kinds.SECONDS,
    2.0,
    "How often to tell the scheduler that all is well.",
    spellings=("--heartbeat-interval", "--heartbeat-interval-seconds", "-hi"),
)
DEATH_TIMEOUT = Setting(
    "death_timeout",
    kinds.SECONDS,
    300.0,
    "After so long without a scheduler the worker cluster ends.",
    spellings=("--death-timeout", "--death-timeout-seconds", "-ds"),
)
GRACE = Setting("grace", kinds.SECONDS_OR_0, 0.0, "How long running tasks may go on after SIGTERM.")
END_TIME: Setting[float | None] = Setting(
    "end_time",
    kinds.MOMENT,
    None,
    "When this machine is taken away: nothing is begun that cannot finish.",
    "never",
    also_read=("SLURM_JOB_END_TIME",),
)
MEMORY_LIMIT: Setting[int | None] = Setting(
    "memory_limit",
    kinds.WORKER_MEMORY,
    None,
    "What a worker and its processes may use, such as 500M or 2G: the task that passes it fails.",
)
OBJECT_STORE_LIMIT: Setting[int | None] = Setting(
    "object_store_limit",
    kinds.STORE_MEMORY,
    None,
    "How much memory values of other hosts and unread results may take here; more goes to --spill-dir.",
    "half of what is free in /dev/shm",
)
SPILL_DIR: Setting[Path | None] = Setting(
    "spill_dir",
    kinds.FILE,
    None,
    "The folder on disk for large values that have no room in memory.",
    "that for temporary files",
)
INLINE_LIMIT = Setting(
    "inline_limit",
    kinds.INLINE_SIZE,
    INLINE_BYTES,
    "From this size on results stay here until they are read; smaller ones go to their client at once.",
    "64Ki",
)
PEER_PORT: Setting[int | None] = Setting(
    "peer_port",
    kinds.PORT,
    0,
    "Where clusters of other hosts fetch values that lie here; through the scheduler if they cannot.",
    "any port that is free; -1 for none",
)
PYTHON_PATH: Setting[tuple[str, ...]] = Setting(
    "python_path",
    kinds.FOLDERS,
    (),
    "Where tasks look for modules first; may be repeated.",
    "the working directory alone",
)

PRELOAD: Setting[str | None] = Setting(
    "preload",
    kinds.PRELOAD,
    None,
    "What every worker calls before its first task, as module:function or module:function('a', k=1).",
)
MAX_TASKS_PER_WORKER: Setting[int | None] = Setting(
    "max_tasks_per_worker",
    kinds.count(1_000_000_000),
    None,
    "After so many tasks a worker makes room for a new one.",
    "as many as there are",
)
TASK_TIMEOUT = Setting(
    "task_timeout",
    kinds.SECONDS_OR_0,
    0.0,
    "How long a task may run that has no timeout of its own.",
    "for ever",
    spellings=("--task-timeout", "--task-timeout-seconds"),
)
GARBAGE_COLLECT_INTERVAL = Setting(
    "garbage_collect_interval",
    kinds.SECONDS_OR_0,
    30.0,
    "A worker that has had nothing to do for so long collects garbage, once; 0 for never.",
    spellings=("--garbage-collect-interval", "--garbage-collect-interval-seconds", "-gc"),
)
TRIM_MEMORY_THRESHOLD = Setting(
    "trim_memory_threshold",
    kinds.count(1 << 62),
    1 << 30,
    "Bytes a worker may hold then before it gives back to the system what is free of it.",
    spellings=("--trim-memory-threshold", "--trim-memory-threshold-bytes", "-tm"),
)
ECHO = Setting(
    "echo",
    kinds.FLAG,
    True,
    "Write what tasks print to the standard streams of this command too, in full.",
)

# ---- the tables

SCHEDULER: Table = (
    LISTEN_ADDRESS,
    MONITOR_ADDRESS,
    PROTECTED,
    PRIVATE,
    CLIENT_TIMEOUT,
    WORKER_TIMEOUT,
    MAX_QUEUED_TASKS,
    SCHEDULER_MEMORY_LIMIT,
    STATE_DIR,
    EVENT_LOOP,
    *SHARED,
)
WORKER: Table = (
    ADDRESS,
    WORKERS,
    THREADS,
    MAX_PARKED,
    TAGS,
    RESOURCES,
    NAME,
    WORKER_NAMES,
    HEARTBEAT_INTERVAL,
    DEATH_TIMEOUT,
    GRACE,
    END_TIME,
    MEMORY_LIMIT,
    OBJECT_STORE_LIMIT,
    SPILL_DIR,
    INLINE_LIMIT,
    PEER_PORT,
    PYTHON_PATH,
    PRELOAD,
    MAX_TASKS_PER_WORKER,
    TASK_TIMEOUT,
    GARBAGE_COLLECT_INTERVAL,
    TRIM_MEMORY_THRESHOLD,
    ECHO,
    *SHARED,
)
SECTIONS = {"scheduler": SCHEDULER, "worker": WORKER}
#: of a command that asks a scheduler something; a file has these outside of its sections
CONNECTION: Table = (ADDRESS, KEY_FILE, INSECURE, INSECURE_OFF_LOOPBACK)


def _discarded(name: str, *short: str) -> Discarded:
    return Discarded((f"--{name.replace('_', '-')}", *short), REMEDIES[name])


DISCARDED = {
    "scheduler": (
        _discarded("scheduler_io_threads"),
        _discarded("object_retention_seconds", "-ot"),
        _discarded("load_balance_seconds"),
        _discarded("load_balance_trigger_times"),
        _discarded("per_worker_queue_size", "-qs"),
    ),
    "worker": (
        Discarded(
            ("--event-loop", "-e"), "a worker cluster waits without an event loop; give it to the scheduler", "builtin"
        ),
        Discarded(("--io-threads", "-it"), REMEDIES["worker_io_threads"]),
        _discarded("per_worker_queue_size", "-qs"),
    ),
}  # fmt: skip
