"""The runs a cluster has: what comes in, what is taken from the queue, what comes back to it, and when one is over."""

from msgspec.structs import replace

from scaler.core.runtimes import RunTimeTable
from scaler.ids import FunctionId, ObjectId, Range, RunId
from scaler.protocol import Failure, ReturnReason, RunSpan
from scaler.protocol.columns import CONTENT, WORD_BYTES, ArgumentColumn, Frame, ResultColumn
from scaler.protocol.inputs import Inputs, split_off
from scaler.ranges import RangeSet
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_objects import Objects
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_queue import RunQueue
from scaler.worker.agent_results import failed_column, names_in
from scaler.worker.agent_stored import StoredResults
from scaler.worker.agent_work import Run


class Runs:
    """Every run that is not over, by name, oldest first."""

    def __init__(self, functions: Functions, objects: Objects, stored: StoredResults, outbox: Outbox) -> None:
        self._functions = functions
        self._objects = objects
        self._stored = stored
        self._outbox = outbox
        self._times = RunTimeTable()
        self.by_id: dict[RunId, Run] = {}
        self.queue = RunQueue()
        #: nothing is begun any more: whatever comes or comes back is the scheduler's at once
        self.is_closed = False

    def add(self, message: RunSpan, frames: tuple[Frame, ...]) -> None:
        """A run came from the scheduler."""
        lo, hi = message.lo, message.hi
        frames, behind = split_off(frames, message.input_frames)
        column = ArgumentColumn.from_frames(lo, hi - lo, frames)
        inputs = Inputs.from_frames(hi - lo, behind) if behind else None
        if self.is_closed:
            self._outbox.give_back(message.run, lo, hi, ReturnReason.NOT_BEGUN)
            return
        run = self.known(message, column, inputs)
        if run.is_ready:
            self.queue.added(run, hi - lo, at_front=False)

    def expect(self, frames: tuple[Frame, ...]) -> None:
        """Runs with these inputs are to come."""
        if not self.is_closed:
            self._objects.expect(Inputs.from_frames(1, frames).values)

    def known(self, message: RunSpan, column: ArgumentColumn, inputs: Inputs | None = None) -> Run:
        """The record of a run, made from now on; what it needs may have to come."""
        times = self._times.of(message.function, message.options.tag)
        run = self.by_id[message.run] = Run(message, column, times, inputs)
        self._functions.use(run)
        self._objects.use(run)
        return run

    def provided(self, runs: list[Run]) -> None:
        """Something that these runs waited for is here."""
        for run in runs:
            if run.queued and run.is_ready:
                self.queue.added(run, len(run.queued), at_front=False)

    def take(self, run: Run, lo: int, hi: int) -> list[Range]:
        """Take from the queue what is in it of [lo, hi)."""
        taken = run.queued.remove(lo, hi)
        if taken and run.is_ready:
            self.queue.removed(run, sum(last - first for first, last in taken))
        return taken

    def put_back(self, run: Run, lo: int, hi: int) -> None:
        """[lo, hi) was given out and has not been begun, or is to be begun again: it goes before all else."""
        parts = self.drop_cancelled(run, lo, hi) if run.cancelled else [Range(lo, hi)]
        for first, last in parts:
            if run.options.everywhere:
                continue  # its worker is gone, and no other has to make this call
            if self.is_closed:
                self._outbox.give_back(run.id, first, last, ReturnReason.NOT_BEGUN)
            else:
                run.queued.add(first, last)
                self.queue.added(run, last - first, at_front=True)
        self.settle(run)

    def drop_cancelled(self, run: Run, lo: int, hi: int) -> list[Range]:
        """Of [lo, hi), which has no outcome and will have none now, confirm what was cancelled; the rest."""
        rest: list[Range] = []
        for first, last in run.cancelled.remove(lo, hi):
            if not run.is_forgotten:
                self._outbox.confirm(run.id, first, last)
            if lo < first:
                rest.append(Range(lo, first))
            lo = last
        if lo < hi:
            rest.append(Range(lo, hi))
        return rest

    def answer(self, run: Run, column: ResultColumn, place: str) -> None:
        """Tasks have an outcome: it is said, and kept until it is delivered."""
        if run.options.everywhere:
            if run.said is None or (column.unsuccessful() and not run.said[0].unsuccessful()):
                run.said, unsaid = (column, place), run.said
            else:
                unsaid = column, place
            if unsaid is not None:
                self.discard(unsaid[0])
            return
        run.kept.add(column, place)
        self._outbox.results.append((run.id, place, column))

    def fail(self, run: Run, failure: Failure) -> None:
        """What of a run waits will never be run."""
        for lo, hi in self.take(run, run.lo, run.hi):
            for index in range(lo, hi):
                self.answer(run, failed_column(index, failure), failure.place)
        self.settle(run)

    def return_queued(self, run: Run) -> None:
        """Everything of a run that waits is the scheduler's again."""
        self._outbox.returned(run.id, self.take(run, run.lo, run.hi), ReturnReason.NOT_BEGUN)
        self.settle(run)

    def close(self) -> None:
        """Give back everything that waits, now and from now on."""
        self.is_closed = True
        for run in list(self.by_id.values()):
            self.return_queued(run)

    def delivered(self, name: RunId, ranges: tuple[Range, ...]) -> None:
        """Results have arrived where they are wanted."""
        run = self.by_id.get(name)
        if run is not None:
            for lo, hi in ranges:
                self._stored.drop(run.kept.drop(lo, hi))
                self._stored.delivered(name, lo, hi)
            self.settle(run)

    def forgotten(self, run: Run) -> None:
        """Nobody wants any result of a run."""
        run.is_forgotten = True
        self._stored.drop(run.kept.drop(run.lo, run.hi))
        self._stored.delivered(run.id, run.lo, run.hi)
        if run.said is not None:
            self.discard(run.said[0])
            run.said = None

    def discard(self, column: ResultColumn, lo: int | None = None, hi: int | None = None) -> None:
        """Nobody wants these outcomes, or those of [lo, hi) of them, which are not kept."""
        names = names_in(column, column.lo if lo is None else lo, column.hi if hi is None else hi)
        self._stored.drop(names)

    def handed_over(self, name: ObjectId, frames: tuple[Frame, ...]) -> None:
        """A result that lay here goes by value, since the cluster leaves."""
        self._stored.was_read()
        run, index = self._where(name)
        if run is None:
            return
        column, place = run.kept.at(index)
        self._stored.drop(run.kept.drop(index, index + 1))
        size_bytes = sum(map(len, frames))
        self._stored.was_read(run.id, index, size_bytes)
        ends = size_bytes.to_bytes(WORD_BYTES, "little")
        column = replace(column, base=0, statuses=bytes([CONTENT]), ends=ends, data=frames)
        run.kept.add(column, place)
        self._outbox.results.append((run.id, place, column))

    def _where(self, name: ObjectId) -> tuple[Run | None, int]:
        """The run and index of a result that lies here; none if it was dropped meanwhile."""
        of = self._stored.run_of(name)
        run = None if of is None else self.by_id[of]
        index = None if run is None else run.kept.index_of(name)
        return (None, 0) if index is None else (run, index)

    def lost(self, name: ObjectId) -> None:
        """The file of a result is gone: its task is the scheduler's again."""
        self._stored.was_read()
        run, index = self._where(name)
        if run is None:
            return
        self._stored.drop(run.kept.drop(index, index + 1))
        self._outbox.give_back(run.id, index, index + 1, ReturnReason.LOST)
        self.settle(run)

    def say_again(self, name: RunId, ranges: tuple[Range, ...]) -> None:
        """Results that were said were not kept where they arrived: of what is kept here, say what has any of these."""
        run = self.by_id.get(name)
        if run is not None:
            wanted = RangeSet(ranges)
            said = [(run.id, place, column) for column, place in run.kept if wanted.intersects(column.lo, column.hi)]
            self._outbox.results.extend(said)

    def settle(self, run: Run) -> None:
        """Let go of what a run needs no more; forget it when it is over."""
        if run.out or run.queued:
            return
        if not run.has_ended:
            if run.options.everywhere and not run.is_forgotten:
                self._answer_for_all(run)
            self._objects.release(run)
            run.end()
            self._functions.release(run)
        if not run.kept:
            self.by_id.pop(run.id, None)

    def _answer_for_all(self, run: Run) -> None:
        """Every worker has made this call, or is gone."""
        if run.said is None:
            self._outbox.give_back(run.id, run.lo, run.lo + 1, ReturnReason.NOT_BEGUN)
            return
        column, place = run.said
        run.said = None
        column = replace(column, lo=run.lo)
        run.kept.add(column, place)
        self._outbox.results.append((run.id, place, column))

    def check(self) -> None:
        """The queue holds all and only what waits and can be run; functions are counted right."""
        uses: dict[FunctionId, int] = {}
        waiting = 0
        for name, run in self.by_id.items():
            assert name == run.id
            assert run.queued or run.out or run.kept
            assert run.has_ended == (not run.queued and not run.out)
            assert not (run.is_forgotten and (run.queued or run.kept))
            assert not (self.is_closed and run.queued)
            assert (run in self.queue) == (bool(run.queued) and run.is_ready)
            waiting += len(run.queued) if run.is_ready else 0
            if not run.has_ended:
                uses[run.function] = uses.get(run.function, 0) + 1
        assert waiting == self.queue.tasks
        self._functions.check(uses)
        self._objects.check(self.by_id.values())
        self._stored.check((run.id, name) for run in self.by_id.values() for name in _names_of(run))


def _names_of(run: Run) -> list[ObjectId]:
    said = [] if run.said is None else names_in(run.said[0], run.said[0].lo, run.said[0].hi)
    return [*run.kept.names(), *said]
