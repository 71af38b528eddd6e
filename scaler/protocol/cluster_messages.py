"""What a worker cluster and a scheduler say to each other."""

from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import BatchId, FunctionId, Natural, RunId
from scaler.protocol.connection import Label, Place, Text
from scaler.protocol.options import (
    MAX_RANGES,
    Amounts,
    BatchOptions,
    Ranges,
    ReturnReason,
    check_quantity,
    check_range,
    check_ranges,
)
from scaler.resources import NO_RESOURCES

# ---- cluster to scheduler


class ClusterReady(Struct, frozen=True, array_like=True, tag=50):
    """What this cluster offers; first on every new link and again when it changes. Cluster to scheduler.

    `slots` can run tasks now, `full_slots` when all its workers are up (0: it is leaving); `tags` are those it serves
    (a task without tag runs anywhere); `ends_in_s` is what is left of its walltime, and None where it has none. At
    `port` (0: none) it gives other clusters what it has, and shows the public key `key`.
    """

    name: Label
    host: Label
    pid: Natural
    workers: Natural
    slots: Natural
    tags: tuple[Label, ...] = ()
    resources: Amounts = NO_RESOURCES
    ends_in_s: float | None = None
    full_slots: int = 0
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    key: Label = ""

    def __post_init__(self) -> None:
        check_quantity("full_slots", self.full_slots)
        check_quantity("workers", self.workers)
        check_quantity("slots", self.slots)
        check_quantity("ends_in_s", abs(self.ends_in_s or 0))
        for name, amount in self.resources:
            check_quantity(name, amount)


class SpanResult(Struct, frozen=True, array_like=True, tag=51):
    """Outcomes of [lo, hi) of a run, a `ResultColumn` behind it; kept by the cluster until `Delivered`.

    `running` lists the run and index in every busy slot of the cluster: whatever is in it has begun.
    """

    run: RunId
    lo: Natural
    hi: Natural
    base: Natural
    place: Place
    running: tuple[tuple[RunId, Natural], ...] = ()

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)


class Running(Struct, frozen=True, array_like=True, tag=52):
    """The run and index in every busy slot: at most every 100 ms, when it has changed. Cluster to scheduler."""

    running: tuple[tuple[RunId, Natural], ...]


class Returned(Struct, frozen=True, array_like=True, tag=53):
    """These did not finish here and are the scheduler's again. Cluster to scheduler; answers `Retract` too.

    What is not named in the answer to a `Retract` had begun or is done. With the reason `LOST` they had finished, and
    their results, which lay in the cluster's store, are gone.
    """

    run: RunId
    ranges: Ranges
    reason: ReturnReason

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class RetractAnswered(Struct, frozen=True, array_like=True, tag=54):
    """All that could be returned of [lo, hi) has been; the rest stays. Cluster to scheduler, behind `Returned`."""

    run: RunId
    lo: Natural
    hi: Natural

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)


class Confirmed(Struct, frozen=True, array_like=True, tag=55):
    """These were cancelled: taken from the queue, or interrupted. Cluster to scheduler; answers `CancelRun`."""

    run: RunId
    ranges: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class Held(Struct, frozen=True, array_like=True):
    """One run a cluster still has: what waits in its queue, what runs, and what is finished but not delivered."""

    batch: BatchId
    run: RunId
    queued: Ranges
    running: tuple[Natural, ...]
    finished: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.queued)
        for index in self.running:
            check_range(index, index + 1)
        check_ranges(self.finished)


class Holding(Struct, frozen=True, array_like=True, tag=56):
    """Everything a cluster has of earlier links, behind its `ClusterReady` on a link that did not resume.

    Cluster to scheduler; unknown runs are answered by `Forget`; finished columns follow as `SpanResult`s.
    """

    runs: tuple[Held, ...]


class ClusterStatistics(Struct, frozen=True, array_like=True, tag=57):
    """How the cluster fares, every heartbeat interval while somebody watches. Cluster to scheduler.

    CPU is a share of one core since the message before; that and `rss_bytes` are of the cluster's own process. `queued`
    tasks have not begun, `running` are in slots.
    """

    cpu_percent: float
    rss_bytes: Natural
    queued: Natural
    running: Natural
    workers: tuple[tuple[Natural, Natural, float, Natural], ...] = ()  # (worker, pid, cpu %, rss bytes)


class WorkerDied(Struct, frozen=True, array_like=True, tag=58):
    """A worker process ended unasked and is replaced; told for logs and counters. Cluster to scheduler."""

    worker: Natural
    exit_code: int
    text: Text


# ---- scheduler to cluster


class RunSpan(Struct, frozen=True, array_like=True, tag=70):
    """Run the calls [lo, hi) of a batch, an `ArgumentColumn` behind it. Scheduler to cluster.

    The last `input_frames` of the frames are values of other tasks that the calls need, see `protocol.inputs`.
    Answered by `SpanResult`s and `Returned`s that together name every index once. Of a run that is `alone` there, since
    its tasks may take their host down, `Running` is said before they begin.
    """

    run: RunId
    batch: BatchId
    lo: Natural
    hi: Natural
    function: FunctionId
    options: BatchOptions
    input_frames: Natural = 0
    alone: bool = False

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)
        check_quantity("input_frames", self.input_frames)


class Retract(Struct, frozen=True, array_like=True, tag=71):
    """Give back what has not begun of [lo, hi) of a run. Scheduler to cluster.

    Answered by a `Returned` for what could be had, if anything, then one `RetractAnswered`.
    """

    run: RunId
    lo: Natural
    hi: Natural

    def __post_init__(self) -> None:
        check_range(self.lo, self.hi)


class CancelRun(Struct, frozen=True, array_like=True, tag=72):
    """Stop these, begun or not. Scheduler to cluster; answered by `Confirmed`, or their results."""

    run: RunId
    ranges: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class Delivered(Struct, frozen=True, array_like=True, tag=73):
    """Results of these runs have reached their ledger, or nobody wants them: forget them. Scheduler to cluster.

    Gathered for a turn of the scheduler, since a ledger acknowledges many single tasks at once, each a run of its own.
    """

    runs: Annotated[tuple[tuple[RunId, Ranges], ...], Meta(max_length=MAX_RANGES)]

    def __post_init__(self) -> None:
        for _, ranges in self.runs:
            check_ranges(ranges)


class Forget(Struct, frozen=True, array_like=True, tag=74):
    """This run is nobody's: drop its queue and results, stop what runs of it. Scheduler to cluster."""

    run: RunId


class Drain(Struct, frozen=True, array_like=True, tag=75):
    """Take nothing more, return what has not begun, let running tasks finish for `grace_s`, then end.

    Scheduler to cluster; answered by `Returned`s and a `Goodbye`.
    """

    grace_s: float


class Watched(Struct, frozen=True, array_like=True, tag=76):
    """Whether anybody reads statistics: `ClusterStatistics` is sent only while so. Scheduler to cluster."""

    watched: bool


class NeedResults(Struct, frozen=True, array_like=True, tag=77):
    """Say these results again, which there was no room for on the way to their client. Scheduler to cluster.

    Answered by `SpanResult`s for those that the cluster still has.
    """

    run: RunId
    ranges: Ranges

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class PrefetchObjects(Struct, frozen=True, array_like=True, tag=78):
    """Tasks that need these objects are to come: fetch what does not lie there, behind all that runs need already.

    Scheduler to cluster. Behind it their records, as the inputs of one call; see `protocol.inputs`.
    """
