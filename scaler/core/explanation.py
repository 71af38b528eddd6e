"""Why a task does not run yet, in one line for a person.

Where that is to be counted only so many are told in a turn: whoever asks for thousands waits for them, and nobody else.
"""

from collections import OrderedDict

from scaler.core.batches import Batch
from scaler.core.clients import ClientRecord
from scaler.core.lanes import ClassKey
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.queue import BATCHES_TOGETHER
from scaler.core.spans import Span, Wait
from scaler.core.tasks import TaskManager
from scaler.core.workers import WorkerManager
from scaler.ids import Incarnation, TaskId
from scaler.protocol import Explanation

#: So many are counted for in a turn, and so many of one client wait for that.
MOST_IN_A_TURN = 10
MOST_WAITING = 10_000

_WAITS = {
    Wait.ARGUMENTS: "its arguments are asked for again after a restart of the scheduler",
    Wait.FUNCTION: "its function is on the way from its client",
    Wait.ROOM: "its client has not taken what ended before: as much of that as may waits at the clusters",
    Wait.BACKOFF: "it failed and waits before its next attempt",
    Wait.INPUTS: "it waits for {count} tasks among its arguments",
    Wait.WORKERS: "every worker runs it once, or will when earlier such calls of its client have ended",
}
_STANDS = {
    State.HELD: "the scheduler was restarted and waits for a cluster that may have it",
    State.ASSIGNED: "it is in the queue of cluster {place}",
    State.RETRACTING: "it is on its way back from cluster {place}, to one with a free slot",
    State.RUNNING: "it runs on cluster {place}",
    State.CANCELLING: "it is being cancelled on cluster {place}",
    State.KEPT: "it has ended; the outcome waits at cluster {place} until its client has read what was sent before",
    State.STORED: "it is done; its value lies with cluster {place} until it is read",
    State.DONE: "it is done; its result is on the way",
    State.FAILED: "it failed; the failure is on the way",
    State.CANCELLED: "it is cancelled",
}


class Explanations:
    """Answers clients that ask where their tasks stand."""

    def __init__(self, managers: Managers) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._clients = managers.clients
        self._outbox = managers.outbox
        #: tasks that are asked about, by who asks, in turn
        self._asked: OrderedDict[Incarnation, OrderedDict[TaskId, None]] = OrderedDict()

    def ask(self, client: ClientRecord, task: TaskId, now: float) -> None:
        """A client wants to know: what has to be counted is told at the end of the turn, or of one that follows."""
        batch = self._tasks.batches.get(task.batch) if task.batch.owner == client.peer else None
        span = batch.spans.at(task.index) if batch is not None else None
        asked = self._asked.get(client.peer, ())
        if span is None or span.state is not State.QUEUED:
            self._tell(client.peer, task, now)
        elif len(asked) < MOST_WAITING or task in asked:
            self._asked.setdefault(client.peer, OrderedDict())[task] = None
        else:
            text = f"it is queued; what is ahead of it is not counted for more than {MOST_WAITING:,} tasks at a time"
            self._outbox.send(client.peer, Explanation(task, text))

    def tell(self, now: float) -> bool:
        """Answer some, of each client in turn; False if another turn goes on."""
        if not self._asked:
            return True
        for _ in range(MOST_IN_A_TURN):
            if not self._asked:
                break
            peer, asked = self._asked.popitem(last=False)
            task, _nothing = asked.popitem(last=False)
            if peer in self._clients.clients:
                self._tell(peer, task, now)
                if asked:
                    self._asked[peer] = asked
        return not self._asked

    def _tell(self, peer: Incarnation, task: TaskId, now: float) -> None:
        batch = self._tasks.batches.get(task.batch) if task.batch.owner == peer else None
        self._outbox.send(peer, Explanation(task, explanation(self._tasks, self._workers, batch, task.index, now)))


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
    priority, serial = batch.options.priority, batch.serial
    ahead = tasks.queue.ahead(priority, serial)
    for number in range(serial - serial % BATCHES_TOGETHER, serial):
        other = tasks.by_serial.get(number)
        if other is not None and other.options.priority == priority:
            ahead += sum(lane.tasks for lane in other.lanes())
    queued = (span for span in batch.spans.within(0, index) if span.state is State.QUEUED)
    return ahead + sum(span.hi - span.lo for span in queued)
