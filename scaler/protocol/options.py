"""What travels with a batch, and what is said of a task that failed without its own exception."""

import enum
import math
from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import NATURAL, Incarnation, Natural, Range, TaskId
from scaler.protocol.connection import Label, Place, Text
from scaler.resources import NO_RESOURCES

#: No message lists more ranges: a sender cuts a longer list in several messages, whose headers then stay below 1 MiB.
MAX_RANGES = 1 << 15
#: More calls than a batch will ever have; the tasks of millions of batches can be counted in 64 bits.
MAX_INDEX = 1 << 40
#: Tasks are not nested deeper: a worker is told the depth of its task in 16 bits.
MAX_DEPTH = (1 << 16) - 1
MOST_RESOURCES = 64
#: As `scaler.resources.Resources`, but for how much there may be of it.
Amounts = Annotated[tuple[tuple[Label, float], ...], Meta(max_length=MOST_RESOURCES)]
#: What a task may ask for of one resource at least, and at most `scaler.resources.MOST_AMOUNT`.
LEAST_AMOUNT = 1e-6

Ranges = Annotated[tuple[Range, ...], Meta(max_length=MAX_RANGES)]


def check_range(lo: int, hi: int) -> None:
    """Refuse what is no half-open range of indices; the decoder turns the `ValueError` into a `ProtocolError`."""
    if not 0 <= lo < hi <= MAX_INDEX:
        raise ValueError(f"[{lo}, {hi}) is no range of indices")


def check_ranges(ranges: Ranges) -> None:
    """Refuse a list with anything that is no range of indices."""
    for lo, hi in ranges:
        if not 0 <= lo < hi <= MAX_INDEX:
            check_range(lo, hi)


def check_quantity(name: str, value: float) -> None:
    """Refuse what is no count, time or amount: negative, infinite, or not a number."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}")


class BatchOptions(Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    """How the calls of a batch are to be run; equal options and function share a batch.

    `retries` is how often a task runs again after each cause: its worker's death, and an exception that its function
    says may be retried; `parent` is the task that submitted this one from inside a worker; `everywhere` asks for one
    run on every worker; `durable` names the durable work it belongs to ("" for none); `quiet` says that the client
    wants to see nothing of what its calls print. `depth` is how many tasks it is nested in, and `root` the client that
    submitted the outermost of them (0: the batch's own).
    """

    name: Label = ""
    tag: Label | None = None
    resources: Amounts = NO_RESOURCES
    priority: int = 0
    retries: Natural = 0
    retry_delay_s: float = 1.0
    timeout_s: float | None = None
    parent: TaskId | None = None
    everywhere: bool = False
    durable: Label = ""
    quiet: bool = False
    depth: Natural = 0
    root: Annotated[Incarnation, NATURAL] = Incarnation(0)

    def __post_init__(self) -> None:
        check_quantity("retries", self.retries)
        check_quantity("retry_delay_s", self.retry_delay_s)
        check_quantity("timeout_s", self.timeout_s or 0)
        if not 0 <= self.depth <= MAX_DEPTH:
            raise ValueError(f"depth is {self.depth}")
        for name, amount in self.resources:
            check_quantity(name, amount)


class Cause(enum.StrEnum):
    """Why a task failed, other than by its own exception; the client turns each into its exception class."""

    DIED = "died"  # its worker died: WorkerDiedError
    VANISHED = "vanished"  # its cluster was lost three times: WorkerDiedError
    MEMORY = "memory"  # MemoryLimitError
    TIMEOUT = "timeout"  # TaskTimeoutError
    WALLTIME = "walltime"  # WalltimeError
    UNKNOWN_TAG = "unknown-tag"  # UnknownTagError
    DEPENDENCY = "dependency"  # an input failed
    OBJECT_LOST = "object-lost"  # ObjectLostError
    MISSING_OBJECT = "missing-object"  # MissingObjects
    CANCELLED = "cancelled"  # concurrent.futures.CancelledError
    REFUSED = "refused"  # SchedulerError: the request itself was at fault


class Failure(Struct, frozen=True, array_like=True):
    """The facts of a failure, in words a user can act on.

    `exit_code` is the process's own, or minus the signal; `stderr` its last lines; `place` is host and worker; `task`
    names the task and its function where others, which need it, fail with it.
    """

    cause: Cause
    text: Text
    place: Place = ""
    exit_code: int | None = None
    stderr: Text = ""
    stack: Text = ""
    attempts: Natural = 1
    task: Place = ""


class ReturnReason(enum.StrEnum):
    """Why a cluster hands back tasks that did not finish; decides what is charged to them."""

    RETRACTED = "retracted"  # asked for, not begun
    NOT_BEGUN = "not-begun"  # the cluster stops or cannot take them
    EXPIRED = "expired"  # begun, ended by walltime, drain or preemption: no limit counts it
    BYSTANDER = "bystander"  # begun, ended because a neighbour's fault took the worker down
    LOST = "lost"  # done, but its result lay in the cluster's store and its file is gone
