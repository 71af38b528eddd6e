"""What the cluster agent is told and what it asks for: workers as numbers, work as tickets, results as columns.

A ticket is a slice of a run, given to one worker. Its tasks are run in order; `first` and `index` below count within
the batch, as everywhere.
"""

from dataclasses import dataclass

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, RunId, TicketId, WorkerId
from scaler.protocol import BatchOptions, FromCluster, ToCluster
from scaler.protocol.columns import ArgumentColumn, Frame, ResultColumn

# ---- events


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A link to this scheduler stands. `resumed` says it is the same as before; else everything is said anew."""

    epoch: Epoch
    resumed: bool


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is lost; it is dialled again."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the scheduler, with the frames behind its header."""

    message: ToCluster
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker asked for by `StartWorker` can take tickets now."""

    worker: WorkerId
    pid: int


@dataclass(frozen=True, slots=True)
class SlotView:
    """What a slot's words say: the ticket and index it runs (ticket 0: idle), since when, on the agent's clock.

    `ended_ticket` and `ended_index` tell of the last ticket it left: the index behind the last one it ran of it, which
    is the ticket's end or where a `Limit` stopped it.
    """

    ticket: TicketId
    index: int
    since: float
    ended_ticket: TicketId
    ended_index: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Results of consecutive tasks of one ticket, as one slot finished them."""

    ticket: TicketId
    column: ResultColumn


@dataclass(frozen=True, slots=True)
class Harvested:
    """A worker's ring was emptied, and then its slots looked at: `pieces` in order by slot, `slots` one each."""

    worker: WorkerId
    pieces: tuple[Piece, ...]
    slots: tuple[SlotView, ...]


@dataclass(frozen=True, slots=True)
class TookBack:
    """The answer to `TakeBack`: these tickets were still unread and will not be run; others were read."""

    worker: WorkerId
    tickets: tuple[TicketId, ...]


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """A worker process is gone; its ring was harvested before, its unread tickets are `unread`.

    `exit_code` is its own, or minus the signal; `stderr` its last lines. `slots` are its words as it left them: a task
    in one of them whose result is not harvested is a suspect.
    """

    worker: WorkerId
    exit_code: int
    stderr: str
    slots: tuple[SlotView, ...]
    unread: tuple[TicketId, ...]


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A worker asked for did not come up; `text` says why."""

    worker: WorkerId
    text: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The process was told to end: running tasks may finish for `grace_s`; a second one means now."""

    grace_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Slept:
    """The shell woke this much later than it asked for."""

    seconds: float


Event = (
    LinkUp | LinkDown | Received | WorkerStarted | Harvested | TookBack | WorkerEnded | StartFailed | StopAsked | Slept
)

# ---- commands


@dataclass(frozen=True, slots=True)
class Say:
    """Give a message to the link."""

    message: FromCluster
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Fork a worker; answered by `WorkerStarted` or `StartFailed`."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End a worker and all its processes at once; answered by `WorkerEnded`."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class RetireWorker:
    """Close a worker's line: it ends by itself when it has nothing left; answered by `WorkerEnded`."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Define:
    """Send a function down to a worker, before the first ticket that needs it."""

    worker: WorkerId
    function: FunctionId
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """A worker may forget this function: no ticket will name it without a new `Define`."""

    worker: WorkerId
    function: FunctionId


@dataclass(frozen=True, slots=True)
class Give:
    """Hand a ticket to a worker: the calls of `column`, a slice of `run`, which is a part of `batch`."""

    worker: WorkerId
    ticket: TicketId
    run: RunId
    function: FunctionId
    options: BatchOptions
    column: ArgumentColumn
    batch: BatchId = BatchId(Incarnation(0), 0)  # noqa: RUF009  # a plain tuple


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Read a worker's unread tickets back from its line; answered by `TookBack` (in the same turn)."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Limit:
    """Stop a slot before it begins an index of its current ticket that is `index` or above.

    The effect is certain 2 ms later: if the slot's words then still show an index below, nothing at or above `index`
    will begin; the agent asks with `Look`.
    """

    worker: WorkerId
    slot: int
    ticket: TicketId
    index: int


@dataclass(frozen=True, slots=True)
class Look:
    """Empty a worker's ring and look at its slots now; answered by `Harvested` (in the same turn)."""

    worker: WorkerId


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Raise in a slot, if it still runs this index of this ticket (cancel, timeout)."""

    worker: WorkerId
    slot: int
    ticket: TicketId
    index: int


@dataclass(frozen=True, slots=True)
class Note:
    """A fact for the log."""

    level: str
    text: str
    fields: tuple[tuple[str, str | int | float], ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """All is handed back and every worker is gone: the process ends with this code."""

    exit_code: int
    reason: str


Command = (
    Say
    | StartWorker
    | KillWorker
    | RetireWorker
    | Define
    | Drop
    | Give
    | TakeBack
    | Limit
    | Look
    | Interrupt
    | Note
    | End
)
