"""What clients ask for: batches opened, filled, closed, taken and cancelled; functions defined.

A request about a batch that is over is the network's habit and changes nothing; one about a batch that never was, or
that does not fit what was said before, is the peer's fault and raises `ProtocolError`.
"""

from scaler.core.batches import Batch
from scaler.core.chunks import check_offsets
from scaler.core.clients import ClientRecord
from scaler.core.explanation import nobody_offers
from scaler.core.managers import Managers
from scaler.core.needs import Outcome
from scaler.core.nesting import nested
from scaler.core.object_requests import ObjectRequests
from scaler.core.outcomes import Outcomes
from scaler.core.placement import Placement
from scaler.core.spans import NO_COUNTS, Wait
from scaler.core.unbegun import Unbegun
from scaler.core.workers import Cluster
from scaler.errors import ProtocolError
from scaler.ids import BatchId, FunctionId, function_id
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    CancelTasks,
    Cause,
    CloseBatch,
    DefineFunction,
    Failure,
    InputKnown,
    NeedFunction,
    OpenBatch,
    Taken,
    TasksWait,
)
from scaler.protocol.codec import decode_failure
from scaler.protocol.columns import CONTENT, FAILED, MAX_FRAME_BYTES, REFERENCE, STATUSES, VALUE, ArgumentColumn, Frame
from scaler.protocol.connection import LONGEST_TEXT
from scaler.protocol.inputs import Dependencies, read_dependencies, split_off
from scaler.protocol.options import LEAST_AMOUNT, MAX_INDEX
from scaler.protocol.references import is_record, read_record
from scaler.ranges import members_within
from scaler.resources import MOST_AMOUNT, unknown_tag

#: the role of a durable work, which is a client of the core that never leaves
DURABLE = "durable"
#: So many of a client may be open at a time: about a gigabyte of them, empty.
MOST_BATCHES = 1_000_000


class Requests:
    """Takes in what clients say of their batches."""

    def __init__(
        self,
        managers: Managers,
        outcomes: Outcomes,
        placement: Placement,
        unbegun: Unbegun,
        objects: ObjectRequests,
    ) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._functions = managers.functions
        self._objects = objects
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._placement = placement
        self._unbegun = unbegun

    def _batch(self, client: ClientRecord, name: BatchId) -> Batch | None:
        batch = self._tasks.batches.get(name) if name.owner == client.peer else None
        if batch is None and not client.may_be_over(name):
            raise ProtocolError(f"batch {name} is not known")
        return batch

    # ---- functions

    def define(self, message: DefineFunction, frames: tuple[Frame, ...]) -> None:
        """Keep a function's bytes, and pass them on to whoever waits for them.

        Batches of all clients that name it run these bytes, so they must be what the name says.
        """
        if sum(len(frame) for frame in frames) != message.size_bytes:
            raise ProtocolError(f"a function of {message.size_bytes} bytes came with other frames")
        if function_id(frames) != message.function:
            raise ProtocolError(f"the function {message.function.hex()} came with bytes of another name")
        for peer in self._functions.define(message.function, frames):
            self._pass_on(self._workers.clusters.get(peer), message, frames)
        self._placement.function_defined(message.function)

    def _pass_on(self, cluster: Cluster | None, message: DefineFunction, frames: tuple[Frame, ...]) -> None:
        if cluster is not None and cluster.is_new_function(message.function):
            self._outbox.send(cluster.peer, message, frames)

    def need_function(self, cluster: Cluster, function: FunctionId, of: FunctionId | None) -> None:
        """A cluster lacks a function, or code of another: it is sent, or asked of a client that has it."""
        cluster.lacks(function)
        frames = self._functions.frames(function)
        if frames is not None:
            self._pass_on(cluster, DefineFunction(function, sum(len(frame) for frame in frames)), frames)
            return
        named = function if of is None else of
        owners = dict.fromkeys(batch.owner for batch in self._tasks.batches.values() if batch.function == named)
        if owners:
            owner = self._functions.ask(function, cluster.peer, list(owners))
            self._outbox.send(owner, NeedFunction(function))

    # ---- batches

    def open(self, client: ClientRecord, message: OpenBatch, now: float) -> None:
        """A new batch; one whose tag no worker ever had is refused as its calls come, others may have to wait."""
        name, options = message.batch, message.options
        if name.owner != client.peer or name in self._tasks.batches:
            raise ProtocolError(f"batch {name} is opened twice or by another")
        options = served(client, options)
        if len(client.batches) >= MOST_BATCHES:
            raise ProtocolError(f"a client has more than {MOST_BATCHES:,} batches")
        client.names(name)
        batch = self._tasks.open(name, message.function, options)
        self._functions.use(message.function, client.peer)
        known = self._workers.known_tags
        if options.tag is not None and known is not None and options.tag not in known:
            batch.known_tags = known
        elif self._workers.slots and (options.tag is not None or options.resources):
            self._tell_unserved(batch, now)

    def _tell_unserved(self, batch: Batch, now: float) -> None:
        """Tell a client at once if no connected cluster could take what it is about to submit: it waits aside."""
        key = batch.lane_of(NO_COUNTS).key
        if key in self._tasks.queue.aside or not self._workers.is_offered(key, now):
            self._outbox.send(batch.owner, TasksWait(batch.id, nobody_offers(key, 0.0)[:LONGEST_TEXT]))

    def append(self, client: ClientRecord, message: AppendTasks, frames: tuple[Frame, ...]) -> None:
        """The next calls of a batch, or calls whose arguments were asked for again."""
        batch = self._batch(client, message.batch)
        if batch is None:
            return
        frames, dependencies = _split(client, message, frames)
        column = ArgumentColumn.from_frames(message.lo, message.count, frames)
        check_offsets(column)
        if column.hi <= batch.appended:
            self._supply(batch, column, dependencies)
            return
        is_next = column.lo == batch.appended or (batch.is_resumed and column.lo > batch.appended)
        if not is_next or batch.is_closed or column.hi > MAX_INDEX:
            raise ProtocolError(f"calls [{column.lo}, {column.hi}) of batch {batch.id} do not follow {batch.appended}")
        self._tasks.append(batch, column)
        if self._is_refused(batch):
            self._refuse_tag(batch, column.lo, column.hi)
        elif dependencies:
            self._outcomes.dependents.depend(batch, dependencies)

    def _is_refused(self, batch: Batch) -> bool:
        """Whether no worker ever had its tag; if one has come since, what follows is taken in."""
        if batch.known_tags is not None and batch.options.tag in (self._workers.known_tags or ()):
            batch.known_tags = None
        return batch.known_tags is not None

    def _refuse_tag(self, batch: Batch, lo: int, hi: int) -> None:
        text = unknown_tag(batch.options.tag or "", batch.known_tags or ())
        self._outcomes.refuse(batch, lo, hi, Failure(Cause.UNKNOWN_TAG, text[:LONGEST_TEXT], attempts=0))

    def _supply(self, batch: Batch, column: ArgumentColumn, dependencies: Dependencies) -> None:
        """Arguments came again: those that are waited for are taken."""
        for span in batch.spans.within(column.lo, column.hi):
            if span.wait is Wait.ARGUMENTS:
                for lo, hi in batch.store.missing(span.lo, span.hi):
                    batch.store.add(column.slice(lo, hi))
                self._outcomes.ready(batch, span.lo, span.hi)
                needed = {index: dependencies[index] for index in members_within(dependencies, span.lo, span.hi)}
                if needed:
                    self._outcomes.dependents.depend(batch, needed)

    def input_known(self, client: ClientRecord, message: InputKnown, frames: tuple[Frame, ...]) -> None:
        """What became of a task that others need, as its client had it."""
        task, status = message.task, message.status
        if task.batch.owner != client.peer or status not in STATUSES:
            raise ProtocolError(f"the outcome of task {task} is not this peer's to tell")
        if not frames or any(len(frame) > MAX_FRAME_BYTES for frame in frames):
            raise ProtocolError(f"the outcome of task {task} came in {len(frames)} frames, or in one that is too large")
        data = b"".join(frames)
        if status == FAILED:
            decode_failure(data)
        elif status == REFERENCE and not task.batch.n and read_record(data).object != (client.peer, task.index):
            raise ProtocolError(f"an object of another name is told to be the outcome of task {task}")
        elif status == REFERENCE and task.batch.n and read_record(data).object.owner == client.peer:
            raise ProtocolError(f"an object of the client's is told to be what task {task} returned")
        elif status in (VALUE, CONTENT) and is_record(data):
            raise ProtocolError(f"a reference is told to be the value of task {task}")
        self._outcomes.dependents.known(task, Outcome(status, frames, message.attempts))

    def close(self, client: ClientRecord, message: CloseBatch) -> None:
        """No call follows."""
        batch = self._batch(client, message.batch)
        if batch is None:
            return
        if message.size != batch.appended and not (batch.is_resumed and message.size >= batch.appended):
            raise ProtocolError(f"batch {batch.id} is closed with {message.size} of {batch.appended} calls")
        batch.is_closed = True
        self._outcomes.settle(batch)

    def taken(self, client: ClientRecord, message: Taken) -> None:
        """The ledger has these results."""
        batch = self._batch(client, message.batch)
        if batch is not None:
            for lo, hi in message.ranges:
                self._outcomes.take(batch, lo, hi)
            self._outcomes.settle(batch)

    def cancel(self, client: ClientRecord, message: CancelTasks) -> None:
        """Nobody wants these any more, or nobody wants them to begin."""
        batch = self._batch(client, message.batch)
        if batch is not None:
            cancel = self._unbegun.cancel if message.unless_begun else self._outcomes.cancel
            for lo, hi in message.ranges:
                cancel(batch, lo, hi)
            self._outcomes.settle(batch)

    def clear(self, client: ClientRecord) -> None:
        """Drop all work and all objects of a client; what is used of these afterwards is missing."""
        for name in list(client.batches):
            self._outcomes.abandon(self._tasks.batches[name])
        self._functions.drop_idle(client.peer)
        self._objects.cleared(client.peer)


def _split(
    client: ClientRecord, message: AppendTasks, frames: tuple[Frame, ...]
) -> tuple[tuple[Frame, ...], Dependencies]:
    """The frames of the calls, and what those behind them say of which task needs which others."""
    if not message.dependency_frames:
        return frames, {}
    frames, behind = split_off(frames, message.dependency_frames)
    dependencies = read_dependencies(message.lo, message.count, behind)
    if any(task.batch.owner != client.peer for tasks in dependencies.values() for task in tasks):
        raise ProtocolError("a task depends on one of another client")
    return frames, dependencies


def served(client: ClientRecord, options: BatchOptions) -> BatchOptions:
    """The options as this scheduler honours them; what it does not, or not for this client, is better told of."""
    is_durable = options.durable and client.role != DURABLE
    for name, value in (("durable", is_durable), ("everywhere", options.everywhere and client.parent)):
        if value:
            raise ProtocolError(f"the option {name} is not served by this version")
    honoured = nested(options, client.nesting)
    if honoured is None:
        if client.nesting is None:
            raise ProtocolError("only a client inside a task can say what its tasks are nested in")
        raise ProtocolError("the tasks of a client inside a task are not nested in what it says")
    for name, amount in options.resources:
        if not LEAST_AMOUNT <= amount <= MOST_AMOUNT:
            raise ProtocolError(f"{amount} of resource {name!r} is nothing to count with")
    return honoured
