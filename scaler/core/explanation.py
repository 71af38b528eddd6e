"""Why a task does not run yet, in one line for a person."""

from scaler.core.batches import Batch
from scaler.core.lifecycle import State
from scaler.core.queue import ClassKey
from scaler.core.spans import Span, Wait
from scaler.core.tasks import TaskManager
from scaler.core.workers import WorkerManager

_WAITS = {
    Wait.ARGUMENTS: "its arguments are asked for again after a restart of the scheduler",
    Wait.FUNCTION: "its function is on the way from its client",
    Wait.BACKOFF: "it failed and waits before its next attempt",
    Wait.INPUTS: "it waits for {count} tasks among its arguments",
    Wait.WORKERS: "every worker runs it once",
}
_STANDS = {
    State.HELD: "the scheduler was restarted and waits for a cluster that may have it",
    State.ASSIGNED: "it is in the queue of cluster {place}",
    State.RETRACTING: "it is on its way back from cluster {place}, to one with a free slot",
    State.RUNNING: "it runs on cluster {place}",
    State.CANCELLING: "it is being cancelled on cluster {place}",
    State.KEPT: "it has ended; the outcome waits at cluster {place} until its client has read what was sent before",
    State.DONE: "it is done; its result is on the way",
    State.FAILED: "it failed; the failure is on the way",
    State.CANCELLED: "it is cancelled",
}


def explanation(tasks: TaskManager, workers: WorkerManager, batch: Batch | None, index: int, now: float) -> str:
    """Where a task of a batch stands."""
    span = batch.spans.at(index) if batch is not None else None
    if batch is None or span is None:
        return "the scheduler does not know it (any more)"
    if span.state is State.WAITING:
        needed = batch.needs.get(index)
        return _WAITS[span.wait].format(count=needed.missing if needed is not None else 0)
    if span.state is State.QUEUED:
        return _queued(tasks, workers, batch, span, index, now)
    cluster = workers.clusters.get(span.run.peer) if span.run is not None else None
    return _STANDS[span.state].format(place=cluster.name if cluster is not None else "?")


def nobody_offers(key: ClassKey, least_s: float) -> str:
    """What no connected worker offers: what tasks of a class want, which run that long at least."""
    wanted = [f"tag {key.tag!r}"] if key.tag is not None else []
    wanted += [f"{name}={amount:g}" for name, amount in key.resources]
    wanted += [f"{least_s:.0f} s of walltime"] if least_s else []
    return f"no connected worker offers {', '.join(wanted)}"


def _queued(tasks: TaskManager, workers: WorkerManager, batch: Batch, span: Span, index: int, now: float) -> str:
    if not workers.clusters:
        return "no worker is connected"
    if not workers.slots:
        return "no worker has started yet"
    key = batch.lane_of(span.counts).key
    if not workers.is_offered(key, now):
        return nobody_offers(key, span.counts.least_s)
    ahead = _ahead(tasks, batch, index)
    return f"{ahead:,} task{'' if ahead == 1 else 's'} ahead"


def _ahead(tasks: TaskManager, batch: Batch, index: int) -> int:
    """How many queued tasks are more urgent, or as urgent and older; clients of one priority take turns besides."""
    ahead = 0
    for other in tasks.by_serial.values():
        is_before = (-other.options.priority, other.serial) < (-batch.options.priority, batch.serial)
        if is_before:
            ahead += sum(lane.tasks for lane in other.lanes())
    queued = (span for span in batch.spans.within(0, index) if span.state is State.QUEUED)
    return ahead + sum(span.hi - span.lo for span in queued)
