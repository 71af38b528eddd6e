"""What an in-process cluster says to the scheduler's core, and what it does about what it is told."""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scaler.ids import FunctionId, Incarnation, Range, RunId
from scaler.payload.functions import Retried, load_function
from scaler.protocol import (
    CancelRun,
    Confirmed,
    DefineFunction,
    Delivered,
    Forget,
    FromCluster,
    FromScheduler,
    NeedFunction,
    NeedResults,
    Retract,
    RetractAnswered,
    Returned,
    ReturnReason,
    Running,
    RunSpan,
    SpanResult,
    TellChild,
)
from scaler.protocol.code import split_code
from scaler.protocol.codec import Unlinked
from scaler.protocol.columns import MAX_MEASURED, Frame, ResultColumn, frames_of
from scaler.testing.bench import Bench, Work
from scaler.testing.calls import Call, Result

Said = tuple[FromCluster, tuple[Frame, ...]]


class Reports:
    """The runs and functions of one such cluster; whoever touches them holds the lock of its hub."""

    def __init__(self, place: str, bench_of: Callable[[RunSpan], Bench]) -> None:
        self._place = place
        self._bench_of = bench_of
        self._works: dict[RunId, Work] = {}
        self._pickled: dict[FunctionId, tuple[Frame, ...]] = {}
        self._loaded: dict[FunctionId, Callable[..., Any] | Retried] = {}

    def function(self, name: FunctionId) -> Callable[..., Any] | Retried:  # Any: users' functions
        """A function, opened once; the code it came with is here already. Raises why if it cannot be loaded."""
        loaded = self._loaded.get(name)
        if loaded is None:
            _, pickled = split_code(b"".join(self._pickled[name]))
            loaded = self._loaded[name] = load_function([pickled])
        return loaded

    # ---- what it is told

    def hear(
        self, message: FromScheduler, frames: tuple[Frame, ...], tell_child: Callable[[Incarnation, Unlinked], None]
    ) -> Iterable[Said]:
        """What the scheduler says; what is to be answered. What is about other hosts is nothing here."""
        match message:
            case RunSpan():
                return self._take(message, frames)
            case DefineFunction(function):
                self._pickled[function] = frames
            case TellChild(child, told):
                tell_child(child, Unlinked(told, frames))
            case Retract(run, lo, hi):
                return self._give_back(run, lo, hi)
            case CancelRun(run, ranges):
                return self._cancel(run, ranges)
            case Delivered(runs):
                for run, ranges in runs:
                    self._deliver(run, ranges)
            case Forget(run):
                if (work := self._works.pop(run, None)) is not None:
                    work.queued.clear()
            case NeedResults(run, ranges):
                return list(self._again(run, ranges))
            case _:
                pass
        return ()

    def _take(self, message: RunSpan, frames: tuple[Frame, ...]) -> Iterable[Said]:
        work = self._works[message.run] = Work(message, frames)
        self._bench_of(message).add(work)
        return () if message.function in self._pickled else [(NeedFunction(message.function), ())]

    def _give_back(self, run: RunId, lo: int, hi: int) -> Iterable[Said]:
        work = self._works.get(run)
        answers: list[Said] = [(RetractAnswered(run, lo, hi), ())]
        if work is not None and (ranges := work.take_back([Range(lo, hi)])):
            self._look(work)
            answers.insert(0, (Returned(run, ranges, ReturnReason.RETRACTED), ()))
        return answers

    def _cancel(self, run: RunId, ranges: Iterable[Range]) -> Iterable[Said]:
        """What runs goes on to its end, which is what is told of it then."""
        work = self._works.get(run)
        if work is None:
            return ()
        gone = work.take_back(ranges)
        work.cancelled.update(index for lo, hi in ranges for index in range(lo, hi))
        self._look(work)
        return [(Confirmed(run, gone), ())] if gone else ()

    def _deliver(self, run: RunId, ranges: Iterable[Range]) -> None:
        work = self._works.get(run)
        if work is None:
            return
        for lo, hi in ranges:
            for index in range(lo, hi):
                work.done.pop(index, None)
        self._look(work)

    def _look(self, work: Work) -> None:
        if work.is_over:
            self._works.pop(work.id, None)

    def _again(self, run: RunId, ranges: Iterable[Range]) -> Iterator[Said]:
        work = self._works.get(run)
        for lo, hi in ranges if work is not None else ():
            for index in range(lo, hi):
                if work is not None and (said := work.done.get(index)) is not None:
                    yield said

    # ---- what it tells

    @staticmethod
    def running(calls: Iterable[Call]) -> Running:
        """These run now."""
        return Running(tuple((call.work.id, call.index) for call in calls))

    def ended(self, call: Call, result: Result | None) -> Iterable[Said]:
        """A call has ended; without a result if not even that could be made."""
        work, index = call.work, call.index
        if work.id not in self._works:
            return ()
        work.left -= 1
        if index in work.cancelled or result is None:
            self._look(work)
            return [(Confirmed(work.id, (Range(index, index + 1),)), ())]
        measured = [min(number, MAX_MEASURED) for number in (result.run_us, result.cpu_us)]
        column = ResultColumn(
            lo=index,
            count=1,
            base=0,
            statuses=bytes((result.status,)),
            run_us=struct.pack("<I", measured[0]),
            ends=struct.pack("<Q", len(result.data)),
            costs=struct.pack("<II", measured[1], 0),
            data=frames_of(result.data),
        )
        said = SpanResult(work.id, index, index + 1, 0, self._place), column.frames()
        work.done[index] = said
        return [said]
