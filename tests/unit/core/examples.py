"""Peers, columns and messages for the tests of the scheduler core, in as few words as possible.

Every call is four bytes that name its index and every value one byte, at absolute offsets: whatever is sliced from a
column therefore equals the column made for that slice.
"""

from array import array
from collections.abc import Iterable, Sequence

from scaler.core.config import CoreConfig
from scaler.core.events import Command, CutOff, Event, Note, PeerJoined, Received, Send
from scaler.core.scheduler import SchedulerCore
from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, Range, RunId, function_id
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    CancelRun,
    CancelTasks,
    Cause,
    CloseBatch,
    ClusterReady,
    Confirmed,
    DefineFunction,
    Delivered,
    Failure,
    Forget,
    Held,
    Holding,
    NeedTasks,
    OpenBatch,
    Results,
    Resume,
    Retract,
    RetractAnswered,
    Returned,
    ReturnReason,
    Running,
    RunSpan,
    SpanResult,
    Taken,
    TasksBegan,
    TasksFailed,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, RAISED, RAISED_RETRYABLE, VALUE, ArgumentColumn, Frame, ResultColumn
from scaler.protocol.inputs import Dependencies, dependency_frames
from scaler.resources import Resources

EPOCH, EARLIER = Epoch(7), Epoch(6)
ALICE, BOB, OPERATOR = Incarnation(1), Incarnation(2), Incarnation(3)
X, Y, Z = Incarnation(11), Incarnation(12), Incarnation(13)
NAMES = {X: "x", Y: "y", Z: "z"}
A, A2, A3 = (BatchId(ALICE, n) for n in (1, 2, 3))
B = BatchId(BOB, 1)
CODE: tuple[Frame, ...] = (b"code",)
F, G = function_id(CODE), function_id((b"node",))
CODES: dict[FunctionId, tuple[Frame, ...]] = {F: CODE, G: (b"node",)}
PLAIN = BatchOptions(name="f")
CANCELLED = Failure(Cause.CANCELLED, "the task was cancelled")
DIED = (FAILED, encode_failure(Failure(Cause.DIED, "signal 9")))
TIMED_OUT = (FAILED, encode_failure(Failure(Cause.TIMEOUT, "too long")))
TRY_AGAIN = (RAISED_RETRYABLE, b"?")
MISTAKE = (RAISED, b"!")
FINE = (VALUE, b"v")


class Checked(SchedulerCore):
    """A scheduler core that checks itself after every turn."""

    def __init__(self, config: CoreConfig | None = None) -> None:
        super().__init__(config or CoreConfig(), EPOCH)

    def handle(self, events: Iterable[Event], now: float = 0.0) -> list[Command]:
        commands = super().handle(events, now)
        self.check()
        return commands


def knows(core: SchedulerCore, run_us: int, tag: str | None = None) -> None:
    """Let a core know how long calls of F take, from so many results that it sends as many as it likes."""
    for _ in range(20):
        core.managers.tasks.run_times.of(F, tag).observe(array("I", [run_us]).tobytes())


def states(core: SchedulerCore, batch: BatchId = A) -> list[tuple[int, int, str]]:
    """Where the tasks of a batch stand."""
    return [(span.lo, span.hi, span.state.value) for span in core.managers.tasks.batches[batch].spans.all()]


# ---- columns


def arguments(lo: int, hi: int) -> ArgumentColumn:
    """The calls of [lo, hi)."""
    offsets = array("Q", range(4 * lo, 4 * hi + 4, 4)).tobytes()
    return ArgumentColumn(lo, hi - lo, offsets, (b"".join(b"%04d" % (index % 10_000) for index in range(lo, hi)),))


def large(index: int, size: int) -> ArgumentColumn:
    """One call of so many bytes."""
    return ArgumentColumn(index, 1, array("Q", (0, size)).tobytes(), (bytes(size),))


def outcomes(lo: int, items: Sequence[tuple[int, bytes]], run_us: int = 1_000_000) -> ResultColumn:
    """A status and a value each, from `lo` on."""
    ends, end = array("Q"), lo
    for _, value in items:
        end += len(value)
        ends.append(end)
    times = array("I", [run_us] * len(items)).tobytes()
    statuses = bytes(status for status, _ in items)
    data = b"".join(value for _, value in items)
    return ResultColumn(lo, len(items), lo, statuses, times, ends.tobytes(), b"", (data,))


def values(lo: int, hi: int, run_us: int = 1_000_000) -> ResultColumn:
    return outcomes(lo, [FINE] * (hi - lo), run_us)


def run_id(n: int, epoch: Epoch = EPOCH) -> RunId:
    return RunId(epoch, n)


#: a run that an earlier scheduler named
OLD = run_id(5, EARLIER)


def ranges(*pairs: tuple[int, int]) -> tuple[Range, ...]:
    return tuple(Range(*pair) for pair in pairs)


# ---- what clients say


def client(peer: Incarnation = ALICE, role: str = "client") -> PeerJoined:
    return PeerJoined(peer, role)


def defines(function: FunctionId = F, peer: Incarnation = ALICE) -> Received:
    return Received(peer, DefineFunction(function, 4), CODES[function])


def opens(batch: BatchId, options: BatchOptions = PLAIN, function: FunctionId = F) -> Received:
    return Received(batch.owner, OpenBatch(batch, function, options))


def appends(batch: BatchId, lo: int, hi: int, needs: Dependencies | None = None) -> Received:
    behind = dependency_frames(lo, hi, needs or {})
    return Received(batch.owner, AppendTasks(batch, lo, hi - lo, len(behind)), (*arguments(lo, hi).frames(), *behind))


def appends_column(batch: BatchId, column: ArgumentColumn) -> Received:
    return Received(batch.owner, AppendTasks(batch, column.lo, column.count), column.frames())


def closes(batch: BatchId, size: int) -> Received:
    return Received(batch.owner, CloseBatch(batch, size))


def maps(batch: BatchId, size: int, options: BatchOptions = PLAIN, function: FunctionId = F) -> list[Event]:
    """A whole map of one chunk, its function included."""
    return [
        defines(function, batch.owner),
        opens(batch, options, function),
        appends(batch, 0, size),
        closes(batch, size),
    ]


def takes(batch: BatchId, *pairs: tuple[int, int]) -> Received:
    return Received(batch.owner, Taken(batch, ranges(*pairs)))


def cancels(batch: BatchId, *pairs: tuple[int, int]) -> Received:
    return Received(batch.owner, CancelTasks(batch, ranges(*pairs)))


def cancels_unbegun(batch: BatchId, *pairs: tuple[int, int]) -> Received:
    return Received(batch.owner, CancelTasks(batch, ranges(*pairs), unless_begun=True))


def resumes(
    batch: BatchId,
    size: int | None,
    *unresolved: tuple[int, int],
    options: BatchOptions = PLAIN,
    function: FunctionId = F,
) -> Received:
    return Received(batch.owner, Resume(batch, function, options, size, ranges(*unresolved)))


# ---- what clusters say


def ready(
    peer: Incarnation,
    slots: int = 2,
    tags: tuple[str, ...] = (),
    resources: Resources = (),
    ends_in_s: float | None = None,
) -> Received:
    name = NAMES.get(peer, str(peer))
    return Received(peer, ClusterReady(name, "host", 100, slots, slots, tags, resources, ends_in_s))


def cluster(
    peer: Incarnation,
    slots: int = 2,
    tags: tuple[str, ...] = (),
    resources: Resources = (),
    ends_in_s: float | None = None,
) -> list[Event]:
    """A cluster comes and says what it offers."""
    return [PeerJoined(peer, "worker"), ready(peer, slots, tags, resources, ends_in_s)]


def finishes(peer: Incarnation, run: RunId, column: ResultColumn, *running: tuple[RunId, int]) -> Received:
    message = SpanResult(run, column.lo, column.hi, column.base, "host/0", running)
    return Received(peer, message, column.frames())


def begins(peer: Incarnation, *running: tuple[RunId, int]) -> Received:
    return Received(peer, Running(running))


def returns(
    peer: Incarnation, run: RunId, *pairs: tuple[int, int], reason: ReturnReason = ReturnReason.RETRACTED
) -> Received:
    return Received(peer, Returned(run, ranges(*pairs), reason))


def answers(peer: Incarnation, run: RunId, lo: int, hi: int) -> Received:
    return Received(peer, RetractAnswered(run, lo, hi))


def confirms(peer: Incarnation, run: RunId, *pairs: tuple[int, int]) -> Received:
    return Received(peer, Confirmed(run, ranges(*pairs)))


def held(
    batch: BatchId,
    run: RunId,
    queued: Sequence[tuple[int, int]] = (),
    running: tuple[int, ...] = (),
    finished: Sequence[tuple[int, int]] = (),
) -> Held:
    return Held(batch, run, ranges(*queued), running, ranges(*finished))


def holds(peer: Incarnation, *runs: Held) -> Received:
    return Received(peer, Holding(runs))


# ---- what the scheduler says


def function_for(peer: Incarnation, function: FunctionId = F) -> Command:
    return Send(peer, DefineFunction(function, 4), CODES[function])


def span_for(
    peer: Incarnation,
    run: RunId,
    batch: BatchId,
    lo: int,
    hi: int,
    options: BatchOptions = PLAIN,
    function: FunctionId = F,
    *,
    alone: bool = False,
) -> Command:
    return Send(peer, RunSpan(run, batch, lo, hi, function, options, alone=alone), arguments(lo, hi).frames())


def results_for(batch: BatchId, column: ResultColumn, attempts: int = 1) -> Command:
    message = Results(batch, column.lo, column.hi, column.base, "host/0", attempts, "host")
    return Send(batch.owner, message, column.frames())


def failure_for(batch: BatchId, failure: Failure, *pairs: tuple[int, int]) -> Command:
    return Send(batch.owner, TasksFailed(batch, ranges(*pairs), failure))


def cancelled_for(batch: BatchId, *pairs: tuple[int, int]) -> Command:
    return failure_for(batch, CANCELLED, *pairs)


def need_tasks(batch: BatchId, lo: int, hi: int) -> Command:
    return Send(batch.owner, NeedTasks(batch, lo, hi))


def cancel_at(peer: Incarnation, run: RunId, *pairs: tuple[int, int]) -> Command:
    return Send(peer, CancelRun(run, ranges(*pairs)))


def delivered_at(peer: Incarnation, run: RunId, *pairs: tuple[int, int]) -> Command:
    return Send(peer, Delivered(((run, ranges(*pairs)),)))


def retract_at(peer: Incarnation, run: RunId, lo: int, hi: int) -> Command:
    return Send(peer, Retract(run, lo, hi))


def forget_at(peer: Incarnation, run: RunId) -> Command:
    return Send(peer, Forget(run))


def gone(peer: Incarnation, unfinished: int, reason: str = "cut", level: str = "warning") -> Command:
    """The line in the log when a cluster is lost, or says goodbye."""
    fields = (("cluster", NAMES[peer]), ("reason", reason), ("unfinished", unfinished))
    return Note(level, "a worker cluster is gone", fields)


def began_for(batch: BatchId, *pairs: tuple[int, int]) -> Command:
    return Send(batch.owner, TasksBegan(batch, ranges(*pairs)))


def said(commands: Iterable[Command]) -> list[Command]:
    """The commands without notes for the log, where a test is not about these."""
    return [command for command in commands if not isinstance(command, Note)]


def cut_off(commands: Iterable[Command]) -> list[Incarnation]:
    """Whose links ended."""
    return [command.peer for command in commands if isinstance(command, CutOff)]
