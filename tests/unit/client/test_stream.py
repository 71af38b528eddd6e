"""Streams: drawing and giving keep in step, whatever comes when."""

import itertools
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from scaler.client import draft, stream
from scaler.client.sinks import MapSink
from scaler.client.stream import checked_buffersize
from scaler.errors import ClientQuitException, SerializationError, WorkerDiedError
from scaler.ids import Range
from scaler.ledger.events import BatchClosed, Event, Unwanted
from scaler.protocol import Cause, Failure
from tests.unit.client.examples import BATCH, drafted, resolved
from tests.unit.client.streams import Scene, same, stored


class Prompt(MapSink):
    """A sink whose tasks are done as soon as somebody waits for them."""

    def __init__(self, answer: Callable[[int], Any] = same) -> None:
        super().__init__(BATCH, "f")
        self._answer = answer

    def wait(self, timeout_s: float | None = None) -> Any:
        self.resolve(resolved(self.done, *(self._answer(index) for index in range(self.done, self.size))))
        return super().wait(timeout_s)


def prompt(elements: Any, buffersize: int | None = None, answer: Callable[[int], Any] = same) -> Scene:
    scene = Scene(elements, buffersize)
    scene.sink = Prompt(answer)  # type: ignore[assignment]  # another one, before it is used
    scene.stream._draft = drafted(scene.sink, scene.io)
    return scene


# ---- giving


def test_nothing_is_drawn_before_the_first_result_is_asked_for():
    scene = prompt(range(3))
    assert scene.drawn == 0
    assert list(scene.stream) == [0, 1, 2]
    assert list(scene.stream) == []


def test_results_come_in_order_whatever_order_they_arrive_in():
    scene = Scene("abcd")
    for lo, value in ((2, "c"), (0, "a"), (3, "d"), (1, "b")):
        scene.answer(lo, value)
    assert list(scene.stream) == ["a", "b", "c", "d"]


def test_unordered_results_come_as_they_arrive():
    scene = Scene("abcd", in_order=False)
    for lo, value in ((2, "c"), (0, "a"), (3, "d"), (1, "b")):
        scene.answer(lo, value)
    assert list(scene.stream) == ["c", "a", "d", "b"]


def test_a_failure_is_raised_in_its_turn_and_the_stream_goes_on():
    scene = Scene(range(4))
    scene.answer(0, 0, KeyError("x"))
    scene.sink.script.append(lambda: scene.sink.reject((Range(2, 3),), Failure(Cause.DIED, "signal 9")))
    scene.answer(3, 3)
    assert next(scene.stream) == 0
    with pytest.raises(KeyError, match="x"):
        next(scene.stream)
    with pytest.raises(WorkerDiedError, match="signal 9"):
        next(scene.stream)
    assert list(scene.stream) == [3]


@pytest.mark.parametrize("end", [StopIteration, StopAsyncIteration])
def test_a_task_that_raises_what_ends_loops_does_not_end_the_stream(end: type[Exception]):
    scene = Scene(range(3))
    scene.answer(0, 0, end("its own"), 2)
    assert next(scene.stream) == 0
    with pytest.raises(RuntimeError, match=f"the task raised {end.__name__}") as caught:
        next(scene.stream)
    assert isinstance(caught.value.__cause__, end)
    assert list(scene.stream) == [2]


def test_failures_can_be_given_in_the_place_of_results():
    scene = Scene(range(2), return_exceptions=True)
    scene.answer(0, KeyError("x"), 1)
    assert [repr(outcome) for outcome in scene.stream] == ["KeyError('x')", "1"]


def test_a_result_is_waited_for_no_longer_than_asked_and_comes_later():
    scene = Scene("ab")
    scene.answer(0, "a")
    assert scene.stream.next(5) == "a"
    scene.sink.script.append(lambda: None)
    with pytest.raises(TimeoutError, match="the next result is not there in time: 1 of 2 have come"):
        scene.stream.next(0.001)
    scene.answer(1, "b")
    assert scene.stream.next() == "b"
    with pytest.raises(StopIteration):
        scene.stream.next(0.001)


# ---- drawing


def test_an_interrupt_while_calls_are_sent_ends_the_stream():
    scene = prompt(range(3000))
    assert next(scene.stream) == 0

    def interrupted(*_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene.io, "post", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(scene.stream)
    assert list(scene.stream) == []


@pytest.mark.parametrize("buffersize", [1, 2, 7, 100])
def test_no_more_than_asked_for_is_drawn_ahead(buffersize: int):
    scene = prompt(itertools.count(), buffersize)
    for given, value in enumerate(itertools.islice(scene.stream, 300), 1):
        assert value == given - 1
        assert scene.drawn - (given - 1) <= buffersize
    assert scene.drawn >= 299


def test_a_full_stream_is_filled_up_in_steps():
    scene = prompt(itertools.count(), 800)
    next(scene.stream)
    first = len(scene.io.posted)
    assert scene.sent == 800
    for _ in range(98):
        next(scene.stream)
    assert len(scene.io.posted) == first
    for _ in range(700):
        next(scene.stream)
    assert len(scene.io.posted) - first <= 40


def test_as_many_as_a_user_asks_for_are_on_their_way_at_once():
    scene = Scene(range(10), buffersize=4)
    scene.answer(0, 0)
    assert next(scene.stream) == 0
    assert scene.sent == 4


def test_by_default_fewer_large_elements_are_drawn_ahead_than_small_ones():
    small, large = prompt(itertools.repeat(1)), prompt(itertools.repeat(bytes(400_000)))
    for scene in (small, large):
        for _ in range(stream.LEAST_AHEAD * 40):
            next(scene.stream)
    assert small.sent > stream.MOST_AHEAD
    assert large.sent < stream.LEAST_AHEAD * 40 + stream.BYTES_AHEAD // 400_000 + 1


def test_large_results_count_too():
    scene = prompt(itertools.count(), answer=lambda _: bytes(400_000))
    for _ in range(1000):
        next(scene.stream)
    assert scene.sent <= 1000 + stream.BYTES_AHEAD // 400_000 + 1


@pytest.mark.parametrize("size_bytes", [2_000_000, 32_000_000])
def test_results_that_stay_where_they_were_made_count_as_what_they_stand_for(size_bytes: int):
    scene = Scene(itertools.count())
    scene.answer_stored(0, 32, size_bytes)
    next(scene.stream)
    assert scene.sent <= stream.LEAST_AHEAD + 1
    for _ in range(31):
        next(scene.stream)
    assert scene.sent - 32 <= max(stream.LEAST_AHEAD, stream.BYTES_AHEAD // size_bytes)


def test_few_are_drawn_until_results_are_known_and_soon_many_if_they_are_light():
    scene = prompt(itertools.count())
    ahead = []
    for given in range(1, 3000):
        next(scene.stream)
        ahead.append(scene.sent - given + 1)
    assert ahead[0] == stream.LEAST_AHEAD
    assert max(ahead[:32]) < max(ahead[:200]) < stream.MOST_AHEAD * 7 // 8 < max(ahead) <= stream.MOST_AHEAD


def test_as_many_are_drawn_as_keep_busy_what_was_seen_to_run():
    """Of long tasks nothing is known for long, but that they run."""
    scene = Scene(itertools.count())
    for part in (Range(0, 32), Range(32, 64), Range(64, 100)):
        scene.sink.script.append(partial(scene.sink.began, (part,)))
    scene.answer(0, 0)
    assert next(scene.stream) == 0
    assert scene.sent == 200
    scene.sink.began((Range(100, 5000),))
    scene.answer(1, 1)
    assert next(scene.stream) == 1
    assert scene.sent == stream.MOST_FOR_SLOTS + 1


def test_many_are_drawn_while_the_first_is_waited_for():
    scene = Scene(itertools.count())
    scene.answer(1, *range(1, 32))
    scene.answer(0, 0)
    assert next(scene.stream) == 0
    assert scene.sent > 200


def test_what_is_there_is_given_while_a_slow_iterable_is_drawn():
    def elements() -> Iterator[int]:
        yield 0
        scene.sink.resolve(resolved(0, "first"))
        for number in itertools.count(1):
            now[0] += 1.0  # a second for each
            yield number

    now = [0.0]
    scene = Scene(elements(), buffersize=50)
    slow = draft.columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draft, "columns", lambda *given, **named: slow(*given, clock=lambda: now[0], **named))
        assert next(scene.stream) == "first"
    assert scene.drawn <= 6


# ---- ends


def test_the_batch_is_closed_as_soon_as_all_is_drawn_and_forgotten_when_all_is_given():
    scene = prompt(range(3))
    next(scene.stream)
    assert scene.io.posted[-1] == BatchClosed(BATCH)
    assert scene.io.forgotten == []
    list(scene.stream)
    assert scene.io.posted[-1] == BatchClosed(BATCH)
    assert scene.io.forgotten == [BATCH]


def test_an_empty_iterable_gives_nothing():
    scene = prompt(())
    assert list(scene.stream) == []
    assert scene.io.posted == [BatchClosed(BATCH)]


def test_what_the_iterable_raises_comes_behind_the_results_of_what_it_gave_before():
    def elements() -> Iterator[int]:
        yield from range(30)
        raise LookupError("no more")

    scene = prompt(elements())
    assert list(itertools.islice(scene.stream, 30)) == list(range(30))
    with pytest.raises(LookupError, match="no more"):
        next(scene.stream)
    assert list(scene.stream) == []


@pytest.mark.parametrize(("wrong", "error"), [((1, 2), TypeError), (lambda: None, SerializationError)])
def test_an_element_that_cannot_be_sent_ends_the_stream(wrong: Any, error: type[Exception]):
    class Unpicklable:
        def __reduce__(self) -> str:
            raise TypeError("not me")

    scene = prompt([0, Unpicklable() if callable(wrong) else wrong, 2])
    with pytest.raises(error):
        list(scene.stream)
    assert isinstance(scene.io.posted[-1], Unwanted)
    assert list(scene.stream) == []


def test_a_client_that_leaves_ends_the_stream():
    scene = Scene(range(3))
    scene.answer(0, 0)
    scene.sink.script.append(lambda: scene.sink.abort(ClientQuitException("left")))
    with pytest.raises(ClientQuitException, match="left"):
        list(scene.stream)
    assert list(scene.stream) == []


@pytest.mark.parametrize("end", [lambda scene: scene.stream.close(), lambda scene: delattr(scene, "stream")])
def test_what_nobody_will_take_is_given_up(end: Callable[[Scene], None]):
    scene = prompt(itertools.count(), 10)
    next(scene.stream)
    scene.io.posted.clear()
    end(scene)
    assert scene.io.posted == [BatchClosed(BATCH), Unwanted(BATCH, (Range(0, 10),))]
    assert scene.io.forgotten == [BATCH]


def test_a_stream_that_is_closed_gives_nothing_more():
    scene = prompt(itertools.count(), 10)
    next(scene.stream)
    scene.stream.close()
    scene.stream.close()
    assert list(scene.stream) == []
    assert scene.io.forgotten == [BATCH]


@pytest.mark.parametrize("end", [lambda scene: scene.stream.close(), lambda scene: delattr(scene, "stream")])
def test_results_that_nobody_will_take_are_not_held_whenever_they_come(end: Callable[[Scene], None]):
    scene = Scene(range(10))
    scene.answer_stored(0, 2, 100_000)
    next(scene.stream)
    sink, held = scene.sink, []
    for lo in (2, 4):
        done = stored(lo, 2, 100_000)
        held.append(weakref.ref(done.kept[lo]))
        sink.resolve(done)
        del done
        if "stream" in vars(scene):
            end(scene)
    assert [one() for one in held] == [None, None]


def test_results_that_were_given_are_not_held():
    class Value:
        pass

    scene = Scene(range(2))
    first = Value()
    scene.stream._sort_in(0, [first, Value()])
    held = weakref.ref(first)
    assert next(scene.stream) is first
    del first
    assert held() is None


@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_a_look_ahead_is_a_number_of_elements(value: object):
    with pytest.raises(ValueError, match="buffersize is None or a number of elements, 1 or more, not"):
        checked_buffersize(value)
    assert (checked_buffersize(None), checked_buffersize(3)) == (None, 3)
