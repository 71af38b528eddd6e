"""The batches of `submit`: an interrupt between any two steps leaves none behind that a later call would wait in."""

import functools
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from scaler.client import batches, sinks
from scaler.client.batches import Batches
from scaler.client.freed import FreedValues
from scaler.client.posting import NeededTask, Posted, PostedCall, taken
from scaler.client.sinks import SubmitSink
from scaler.ids import BatchId, Incarnation, Range
from scaler.ledger.events import BatchClosed, Event, Unwanted
from scaler.ledger.ledger import Ledger
from scaler.payload.calls import load_call
from scaler.storage.store import Place, Store

FILES = {batches.__file__, sinks.__file__}
NAMES = {"_append", "_begin", "add", "__init__", "_next"}
#: lines where a signal never comes: before a `try`, and between the end of a `with` and what it does there
NEVER = {
    number
    for number, line in enumerate(Path(batches.__file__).read_text(encoding="utf-8").splitlines(), 1)
    if line.lstrip().startswith(("with ", "try:"))
}


class Io:
    """What batches need of the I/O thread: what is posted goes to a ledger when asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.freed = FreedValues()
        self.left_because = ""
        self.is_over = False
        self.news = SimpleNamespace(known_tags=None)
        self.sinks: dict[BatchId, SubmitSink] = {}
        self._posted: deque[Posted] = deque()
        self._ledger = Ledger()

    def remember(self, sink: SubmitSink) -> None:
        self.sinks[sink.batch] = sink

    def forget(self, batch: BatchId) -> None:
        self.sinks.pop(batch, None)

    def post(self, *events: Event) -> None:
        self._posted.extend(events)

    def post_call(self, batch: BatchId, index: int, call: bytes, futures: tuple[NeededTask, ...]) -> None:
        self._posted.append((batch, index, call, futures))

    def unwant(self, batch: BatchId, index: int) -> None:
        self.post(Unwanted(batch, (Range(index, index + 1),)))

    def awaited(self) -> int:
        """How many futures wait."""
        return sum(len(sink._futures) for sink in self.sinks.values())

    def posted_calls(self) -> list[PostedCall]:
        return [posted for posted in self._posted if isinstance(posted, tuple)]

    def unresolved(self) -> int:
        """How many tasks the ledger waits for, once it has heard all; it refuses calls that are not in order."""
        self._ledger.handle(taken(self._posted), 0.0, 0)
        self._ledger.check()
        return self._ledger.unresolved


def interrupted(act: Callable[[], object], step: int) -> bool:
    """Whether an interrupt came: before this line of those that the act runs through in the files looked at."""
    left = step

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and frame.f_code.co_name in NAMES and frame.f_lineno not in NEVER:
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_futures_that_a_partial_brings_are_arguments_of_the_call():
    io = Io()
    made = Batches(io, Incarnation(1))  # type: ignore[arg-type]  # all that they need of the thread
    base, other = made.submit(abs, (-3,), {}, {}), made.submit(abs, (-2,), {}, {})
    made.submit(functools.partial(pow, base), (2,), {}, {})
    made.submit(functools.partial(dict, a=[(other,)]), (), {"b": {1: base}}, {})
    assert [futures for *_, futures in io.posted_calls()] == [(), (), (base,), (other, base)]


def test_a_partial_without_futures_keeps_its_arguments():
    io = Io()
    made = Batches(io, Incarnation(1))  # type: ignore[arg-type]  # as above
    made.submit(functools.partial(pow, 3), (2,), {}, {})
    assert [load_call(call) for _, _, call, _ in io.posted_calls()] == [((2,), {})]


def test_an_object_of_another_client_is_refused_in_words_for_one(tmp_path: Path):
    made, others = (
        Batches(Io(), Incarnation(n), make_store=lambda: Store([Place(tmp_path / "store", 1 << 20, "in memory")]))  # type: ignore[arg-type]  # as above
        for n in (1, 2)
    )
    reference = others.send_object(b"b" * 100_000, "table")
    with pytest.raises(ValueError, match=r"^the object 'table' is another client's: pass what its value\(\) returns"):
        made.submit(len, (reference,), {}, {})


def closed(io: Io) -> list[int]:
    """The numbers of the batches that were closed."""
    return [event.batch.n for event in io._posted if isinstance(event, BatchClosed)]


def test_of_batches_with_large_functions_few_stay_open_and_the_newest_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "OPEN_BYTES", 350_000)
    io = Io()
    made = Batches(io, Incarnation(1))  # type: ignore[arg-type]  # as above
    made.submit(abs, (-1,), {}, {})
    for content in (b"a" * 100_000, b"b" * 100_000):
        made.submit(lambda content=content: len(content), (), {}, {})
    assert closed(io) == []
    made.submit(abs, (-1,), {}, {})
    made.submit(lambda content=b"c" * 200_000: len(content), (), {}, {})
    assert closed(io) == [2]
    made.submit(lambda content=b"d" * 400_000: len(content), (), {}, {})
    assert closed(io) == [2, 3, 1, 4]


@pytest.mark.parametrize("before", [0, 2])
def test_an_interrupt_between_any_two_steps_of_submit_leaves_later_calls_whole(before: int):
    step = 0
    while True:
        io = Io()
        made = Batches(io, Incarnation(1))  # type: ignore[arg-type]  # all that they need of the thread
        submitted = [made.submit(abs, (-1,), {}, {}) for _ in range(before)]
        if not interrupted(lambda made=made: made.submit(abs, (-2,), {}, {}), step):  # type: ignore[misc]  # a lambda's default
            break
        assert not io.lock.locked()
        submitted += [made.submit(abs, (-3,), {}, {}), made.submit(abs, (-4,), {}, {})]
        # the interrupted call was given up, or is whole
        assert len(submitted) <= io.unresolved() <= len(submitted) + 1, step
        assert io.awaited() == io.unresolved(), step
        step += 1
    assert step > 5
