"""What the cluster agent is told and what it asks for: workers as numbers, work as tickets, results as columns.

A ticket is a slice of a run, given to one worker. Its tasks are run in order; `first` and `index` below count within
the batch, as everywhere.
"""

from msgspec import Struct

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, ObjectId, RunId, TicketId, WorkerId
from scaler.protocol import BatchOptions, FromClient, FromCluster, ToChild, ToCluster
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn
from scaler.protocol.references import Reference
from scaler.worker.agent_peer_events import PeerCommand, PeerEvent
from scaler.worker.agent_result_events import ResultCommand, ResultEvent
from scaler.worker.source import Source

# ---- events


class LinkUp(Struct, frozen=True):
    """A link to this scheduler stands. `resumed` says it is the same as before; else everything is said anew."""

    epoch: Epoch
    resumed: bool


class LinkDown(Struct, frozen=True):
    """The connection is lost; it is dialled again."""


class Received(Struct, frozen=True):
    """A message of the scheduler, with the frames behind its header."""

    message: ToCluster
    frames: tuple[Frame, ...] = ()


class WorkerStarted(Struct, frozen=True):
    """A worker asked for by `StartWorker` has done what comes before the first ticket, and can take tickets now."""

    worker: WorkerId
    pid: int


class SlotView(Struct, frozen=True):
    """What a slot's words say: the ticket and index it runs (ticket 0: idle), since when, on the agent's clock.

    `ended_ticket` and `ended_index` tell of the last ticket it left: the index behind the last one it ran of it, which
    is the ticket's end or where a `Limit` stopped it. `waits` numbers the call in which the task waits for others,
    until it is over; 0 while it does not.
    """

    ticket: TicketId
    index: int
    since: float
    ended_ticket: TicketId
    ended_index: int
    waits: int = 0


class Piece(Struct, frozen=True):
    """Results of consecutive tasks of one ticket, as one slot finished them."""

    ticket: TicketId
    column: ResultColumn


class Harvested(Struct, frozen=True):
    """A worker's ring was emptied, and then its slots looked at: `pieces` in order by slot, `slots` one each.

    `stacks` are those that were asked for by `Dump` and are there now, by slot.
    """

    worker: WorkerId
    pieces: tuple[Piece, ...]
    slots: tuple[SlotView, ...]
    stacks: tuple[tuple[int, str], ...] = ()


class TookBack(Struct, frozen=True):
    """The answer to `TakeBack`: these tickets were still unread and will not be run; others were read."""

    worker: WorkerId
    tickets: tuple[TicketId, ...]


class WorkerEnded(Struct, frozen=True):
    """A worker process is gone; its ring was harvested before, its unread tickets are `unread`.

    `exit_code` is its own, or minus the signal; `stderr` its last lines. `slots` are its words as it left them: a task
    in one of them whose result is not harvested is a suspect.
    """

    worker: WorkerId
    exit_code: int
    stderr: str
    slots: tuple[SlotView, ...]
    unread: tuple[TicketId, ...]


class Printed(Struct, frozen=True):
    """A task of a worker has printed this, to stderr or to stdout."""

    worker: WorkerId
    source: Source
    data: bytes
    is_error: bool = False


class StartFailed(Struct, frozen=True):
    """A worker asked for did not come up; `text` says why, `in_preload` that it ended in what it has to call first."""

    worker: WorkerId
    text: str
    in_preload: bool = False


class ChildOpened(Struct, frozen=True):
    """A client inside a task, which is number `index` of a ticket, wants to speak."""

    worker: WorkerId
    child: Incarnation
    ticket: TicketId
    index: int


class ChildSaid(Struct, frozen=True):
    """What it says, having heard of so many links."""

    worker: WorkerId
    child: Incarnation
    link: int
    message: FromClient
    frames: tuple[Frame, ...] = ()


class ChildClosed(Struct, frozen=True):
    """A client inside a task says nothing any more, or nothing that could be understood."""

    worker: WorkerId
    child: Incarnation


class StopAsked(Struct, frozen=True):
    """The process was told to end: running tasks may finish for `grace_s`; a second one means now."""

    grace_s: float
    reason: str


class Measured(Struct, frozen=True):
    """The answer to `Measure`: the cluster's own process, and each worker's number, pid, CPU % and resident bytes."""

    cpu_percent: float
    rss_bytes: int
    workers: tuple[tuple[WorkerId, int, float, int], ...] = ()


class MemoryPassed(Struct, frozen=True):
    """A worker and its processes use more memory than they may, and stand still until it is killed."""

    worker: WorkerId
    used_bytes: int


class ObjectHere(Struct, frozen=True):
    """An object lies on this host, where this says; the answer to `Hold`, and to the last `StorePiece`."""

    reference: Reference


class ObjectAway(Struct, frozen=True):
    """The other answer to `Hold`: it lies on another host."""

    object: ObjectId


class ObjectRefused(Struct, frozen=True):
    """The other answer to `StorePiece`: there is no room, and what came of it is removed. A third one to `Hold`."""

    object: ObjectId
    text: str


class Slept(Struct, frozen=True):
    """The shell woke this much later than it asked for."""

    seconds: float


Event = (
    LinkUp
    | LinkDown
    | Received
    | WorkerStarted
    | Harvested
    | TookBack
    | WorkerEnded
    | Printed
    | StartFailed
    | ChildOpened
    | ChildSaid
    | ChildClosed
    | StopAsked
    | Measured
    | MemoryPassed
    | ObjectHere
    | ObjectAway
    | ObjectRefused
    | ResultEvent
    | PeerEvent
    | Slept
)

# ---- commands


class Say(Struct, frozen=True):
    """Give a message to the link."""

    message: FromCluster
    frames: tuple[Frame, ...] = ()


class StartWorker(Struct, frozen=True):
    """Fork a worker, to be called `name` ("" for its number); answered by `WorkerStarted` or `StartFailed`.

    `devices` are the GPUs it is to see, as CUDA takes them; None leaves that as it is. Tickets may follow at once. One
    that `is_spare` has a single slot.
    """

    worker: WorkerId
    name: str = ""
    devices: str | None = None
    is_spare: bool = False


class KillWorker(Struct, frozen=True):
    """End a worker and all its processes at once; answered by `WorkerEnded`."""

    worker: WorkerId


class RetireWorker(Struct, frozen=True):
    """Close a worker's line: it ends by itself when it has nothing left; answered by `WorkerEnded`."""

    worker: WorkerId


class Define(Struct, frozen=True):
    """Send a function down to a worker, before the first ticket that needs it."""

    worker: WorkerId
    function: FunctionId
    frames: tuple[Frame, ...]


class Drop(Struct, frozen=True):
    """A worker may forget this function: no ticket will name it without a new `Define`."""

    worker: WorkerId
    function: FunctionId


class KeepCode(Struct, frozen=True):
    """Lay code that came with functions where workers look for it; none has been given such a function before."""

    archive: FunctionId
    frames: tuple[Frame, ...]


class DropCode(Struct, frozen=True):
    """Remove code that no function names; a worker may go on with what it has of it."""

    archive: FunctionId


class Give(Struct, frozen=True):
    """Hand a ticket to a worker: the calls of `column`, a slice of `run`, which is a part of `batch`.

    `inputs` are the values of other tasks that the calls need, see `protocol.inputs`.
    """

    worker: WorkerId
    ticket: TicketId
    run: RunId
    function: FunctionId
    options: BatchOptions
    column: ArgumentColumn
    batch: BatchId = BatchId(Incarnation(0), 0)  # a plain tuple
    inputs: tuple[Frame, ...] = ()


class TakeBack(Struct, frozen=True):
    """Read a worker's unread tickets back from its line; answered by `TookBack` (in the same turn)."""

    worker: WorkerId


class Limit(Struct, frozen=True):
    """Stop a slot before it begins an index of its current ticket that is `index` or above.

    The effect is certain 2 ms later: if the slot's words then still show an index below, nothing at or above `index`
    will begin; the agent asks with `Look`.
    """

    worker: WorkerId
    slot: int
    ticket: TicketId
    index: int


class Look(Struct, frozen=True):
    """Empty a worker's ring and look at its slots now; answered by `Harvested` (in the same turn)."""

    worker: WorkerId


class Interrupt(Struct, frozen=True):
    """Raise in a slot, if it still runs this index of this ticket (cancel, timeout)."""

    worker: WorkerId
    slot: int
    ticket: TicketId
    index: int


class Answer(Struct, frozen=True):
    """Tell a slot what becomes of the wait with this number: its slot is given to others, or it is to raise."""

    worker: WorkerId
    slot: int
    waits: int
    granted: bool


class Tell(Struct, frozen=True):
    """Say something to a client inside a task."""

    worker: WorkerId
    child: Incarnation
    message: ToChild
    frames: tuple[Frame, ...] = ()


class CloseChild(Struct, frozen=True):
    """A client inside a task is heard no more, and told nothing: its task is over."""

    worker: WorkerId
    child: Incarnation


class Dump(Struct, frozen=True):
    """Have a worker write down where the task in a slot is; told by a later `Harvested`."""

    worker: WorkerId
    slot: int


class Hold(Struct, frozen=True):
    """See whether an object lies on this host; answered by `ObjectHere` or `ObjectAway` (in the same turn).

    One that is `early` is needed by no run yet: where there is no room for a copy, the answer is `ObjectRefused`.
    """

    reference: Reference
    early: bool = False


class StorePiece(Struct, frozen=True):
    """Store piece `n` of an object of so many bytes; pieces come in any order.

    Those behind one that was refused are passed over, until one `is_first` again.
    """

    object: ObjectId
    size_bytes: int
    n: int
    frames: tuple[Frame, ...]
    is_first: bool
    is_last: bool


class DropObject(Struct, frozen=True):
    """Remove the copy of an object, or what has come of it."""

    object: ObjectId


class Measure(Struct, frozen=True):
    """See what the cluster's process and its workers use; answered by `Measured` (in the same turn)."""


class Note(Struct, frozen=True):
    """A fact for the log."""

    level: str
    text: str
    fields: tuple[tuple[str, str | int | float], ...] = ()


class End(Struct, frozen=True):
    """All is handed back and every worker is gone: the process ends with this code; 1 is for want of a scheduler."""

    exit_code: int
    reason: str


#: what is done to workers and their zygote
WorkerCommand = (
    StartWorker
    | KillWorker
    | RetireWorker
    | Define
    | Drop
    | KeepCode
    | DropCode
    | Hold
    | StorePiece
    | DropObject
    | ResultCommand
    | Give
    | TakeBack
    | Limit
    | Look
    | Interrupt
    | Dump
    | Answer
    | Tell
    | CloseChild
    | Measure
)
Command = WorkerCommand | PeerCommand | Say | Note | End
