"""An agent in the hands of a test, and the events and commands it is told and asks for, written short.

Call n of every batch is four bytes, its result the same four; batch and run n belong together. Nothing here decides.
"""

from itertools import accumulate
from struct import pack

from msgspec.structs import replace

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, Range, RunId, TicketId, WorkerId
from scaler.protocol import (
    BatchOptions,
    Cause,
    ClusterReady,
    DefineFunction,
    Delivered,
    Failure,
    Holding,
    RunSpan,
    SpanResult,
    ToCluster,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, RAISED, VALUE, ArgumentColumn, Frame, ResultColumn
from scaler.worker.agent import Agent, AgentConfig
from scaler.worker.agent_events import (
    Command,
    Define,
    Event,
    Give,
    Harvested,
    LinkUp,
    Piece,
    Received,
    Say,
    SlotView,
    WorkerEnded,
    WorkerStarted,
)
from scaler.worker.agent_result_events import DropLeftovers

EPOCH = Epoch(9)
OWNER = Incarnation(5)
F = FunctionId(b"f" * 16)
G = FunctionId(b"g" * 16)
CODE = (b"code",)
#: most tasks of these tests take so long
TASK_US = 100_000
PLAIN = BatchOptions()
IDLE = SlotView(TicketId(0), 0, 0.0, TicketId(0), 0)


def _without_full_slots(command: Command) -> Command:
    if isinstance(command, Say) and isinstance(command.message, ClusterReady):
        return Say(replace(command.message, full_slots=0))
    return command


class Cluster:
    """One agent and its clock; every invariant is looked at after every turn.

    What it says of the slots it will have is left out, but by `agent` itself: it is always the same until the end.
    That it has the leftovers of every worker dropped which has ended is told by `tell_all` alone.
    """

    def __init__(self, workers: int = 1, threads: int = 1, **settings: object) -> None:
        config = AgentConfig("c", "host", 1, workers, threads, **settings)  # type: ignore[arg-type]  # a test's own
        self.agent = Agent(config, Incarnation(7))
        self.now = 0.0

    def tell(self, *events: Event, at: float | None = None) -> list[Command]:
        """One turn, now or later."""
        return [command for command in self.tell_all(*events, at=at) if not isinstance(command, DropLeftovers)]

    def tell_all(self, *events: Event, at: float | None = None) -> list[Command]:
        if at is not None:
            self.now = at
        commands = self.agent.handle(events, self.now)
        self.agent.check()
        return [_without_full_slots(command) for command in commands]

    def hear(self, *said: ToCluster | Received, at: float | None = None) -> list[Command]:
        """One turn in which the scheduler said something."""
        return self.tell(*[one if isinstance(one, Received) else Received(one) for one in said], at=at)

    def deadline(self) -> float | None:
        return self.agent.next_deadline()


def ready(workers: int = 1, threads: int = 1, **settings: object) -> Cluster:
    """A cluster with a link, all its workers, and the function F."""
    cluster = Cluster(workers, threads, **settings)
    cluster.tell(LinkUp(EPOCH, resumed=False))
    cluster.tell(*[WorkerStarted(WorkerId(n), 100 + n) for n in range(workers)])
    cluster.hear(define(F))
    return cluster


# ---- what the scheduler says


def run_id(n: int = 1) -> RunId:
    return RunId(EPOCH, n)


def batch_id(n: int = 1, owner: int = OWNER) -> BatchId:
    return BatchId(Incarnation(owner), n)


def define(function: FunctionId, content: bytes = CODE[0]) -> Received:
    return Received(DefineFunction(function, len(content)), (content,))


def arguments(lo: int, hi: int) -> ArgumentColumn:
    return ArgumentColumn(lo, hi - lo, offsets(4 * lo, [4] * (hi - lo)), (calls(lo, hi),))


def calls(lo: int, hi: int) -> bytes:
    return b"".join([pack("<I", index) for index in range(lo, hi)])


def offsets(start: int, sizes: list[int]) -> bytes:
    return pack(f"<{len(sizes) + 1}Q", *accumulate(sizes, initial=start))


def run_span(
    n: int, lo: int, hi: int, function: FunctionId = F, options: BatchOptions = PLAIN, owner: int = OWNER
) -> Received:
    return Received(
        RunSpan(run_id(n), batch_id(n, owner), lo, hi, function, options),
        (offsets(4 * lo, [4] * (hi - lo)), calls(lo, hi)),
    )


# ---- what workers do


def harvested(
    worker: int,
    *pieces: Piece,
    slots: tuple[SlotView, ...] = (IDLE,),
    stacks: tuple[tuple[int, str], ...] = (),
) -> Harvested:
    return Harvested(WorkerId(worker), pieces, slots, stacks)


def runs(ticket: int, index: int, since: float, ended: tuple[int, int] = (0, 0)) -> SlotView:
    """A slot in a task."""
    return SlotView(TicketId(ticket), index, since, TicketId(ended[0]), ended[1])


def rests(ticket: int, index: int) -> SlotView:
    """A slot that has left a ticket before this index."""
    return SlotView(TicketId(0), 0, 0.0, TicketId(ticket), index)


def piece(ticket: int, lo: int, hi: int, run_us: int = TASK_US, status: int = VALUE) -> Piece:
    """Results as they lie in the ring one after another: call n's at 4 n."""
    return Piece(TicketId(ticket), results(lo, hi, run_us, status))


def results(lo: int, hi: int, run_us: int = TASK_US, status: int = VALUE) -> ResultColumn:
    count = hi - lo
    return ResultColumn(
        lo=lo,
        count=count,
        base=4 * lo,
        statuses=bytes([status]) * count,
        run_us=pack("<I", run_us) * count,
        ends=offsets(4 * lo, [4] * count)[8:],
        costs=b"",
        data=(calls(lo, hi),),
    )


def raised(ticket: int, index: int, run_us: int = TASK_US) -> Piece:
    """What an interrupt comes to."""
    return piece(ticket, index, index + 1, run_us, RAISED)


def ended(
    worker: int,
    exit_code: int = -11,
    *,
    slots: tuple[SlotView, ...] = (IDLE,),
    unread: tuple[int, ...] = (),
    stderr: str = "",
) -> WorkerEnded:
    return WorkerEnded(WorkerId(worker), exit_code, stderr, slots, tuple(map(TicketId, unread)))


# ---- what the agent asks for


def give(
    worker: int,
    ticket: int,
    lo: int,
    hi: int,
    *,
    n: int = 1,
    function: FunctionId = F,
    options: BatchOptions = PLAIN,
    owner: int = OWNER,
) -> Give:
    column = arguments(lo, hi)
    return Give(WorkerId(worker), TicketId(ticket), run_id(n), function, options, column, batch_id(n, owner))


def defines(worker: int, function: FunctionId = F) -> Define:
    return Define(WorkerId(worker), function, CODE)


def offer(workers: int, slots: int, ends_in_s: float | None = None) -> Say:
    return Say(ClusterReady("c", "host", 1, workers, slots, ends_in_s=ends_in_s))


def holds(*held: object) -> Say:
    return Say(Holding(held))  # type: ignore[arg-type]  # a test's own


def span_result(
    lo: int, hi: int, *, n: int = 1, worker: int = 0, running: tuple[tuple[int, int], ...] = (), run_us: int = TASK_US
) -> Say:
    """Results in one message, with the (run, index) of what runs."""
    column = results(lo, hi, run_us)
    return Say(
        SpanResult(
            run_id(n), lo, hi, 4 * lo, f"host (c), worker {worker}", tuple((run_id(r), index) for r, index in running)
        ),
        column.frames(),
    )


def failed(
    index: int,
    cause: Cause,
    text: str,
    *,
    n: int = 1,
    worker: int = 0,
    exit_code: int | None = None,
    stderr: str = "",
    stack: str = "",
    run_us: int = 0,
    running: tuple[tuple[int, int], ...] = (),
) -> Say:
    """A failure of a task that is not its own doing."""
    place = f"host (c), worker {worker}"
    data = encode_failure(Failure(cause, text, place, exit_code, stderr, stack))
    frames: tuple[Frame, ...] = (bytes([FAILED]), pack("<I", run_us), pack("<Q", len(data)), b"", data)
    told = tuple((run_id(r), index) for r, index in running)
    return Say(SpanResult(run_id(n), index, index + 1, 0, place, told), frames)


def ranges(*found: tuple[int, int]) -> tuple[Range, ...]:
    return tuple(Range(lo, hi) for lo, hi in found)


SEASON = 16


def seasoned(workers: int = 1, threads: int = 1, run_us: int = TASK_US, **settings: object) -> Cluster:
    """A ready cluster that has had 16 tickets; all workers have F, which took `run_us` so often that it is known.

    All are idle, and the lowest number comes first.
    """
    cluster = ready(workers, threads, **settings)
    for first in range(1, SEASON + 1, workers):
        numbers = range(first, min(first + workers, SEASON + 1))
        commands = cluster.hear(*[run_span(1000 + n, n, n + 1) for n in numbers])
        given = [command for command in commands if isinstance(command, Give)]
        assert [(command.worker, command.ticket) for command in given] == [(n - first, n) for n in numbers]
        idle = [IDLE] * (threads - 1)
        done = [harvested(n - first, piece(n, n, n + 1, run_us), slots=(rests(n, n + 1), *idle)) for n in numbers]
        cluster.tell(*reversed(done))
        cluster.hear(Delivered(tuple((run_id(1000 + n), ranges((n, n + 1))) for n in numbers)))
    assert all(F in worker.functions for worker in cluster.agent._pool.workers.values())
    return cluster
