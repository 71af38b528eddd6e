"""Futures among the arguments of calls: wherever they are, the worker finds their values in their places."""

import pickle
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scaler.errors import SerializationError
from scaler.payload import inputs as module
from scaler.payload.calls import columns, pickle_call
from scaler.payload.inputs import (
    Found,
    Opener,
    stand_in,
    stand_in_for_pickled,
    stand_in_for_value,
)
from scaler.payload.parts import dump_parts
from scaler.protocol.inputs import Inputs, input_frames
from scaler.protocol.layout import laid_out


class Pending:
    """Stands for a task that is not done."""

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in(self)


class Done:
    """Stands for one whose value is here, opened or not."""

    def __init__(self, value: Any, *, is_opened: bool = False) -> None:
        self.value = value
        self.is_opened = is_opened

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in_for_value(self.value) if self.is_opened else stand_in_for_pickled(pickle.dumps(self.value))


@dataclass(frozen=True)
class Pair:
    first: Any
    second: Any


class Slots:
    __slots__ = ("content",)

    def __init__(self, content: Any) -> None:
        self.content = content


def opener(needs: list[list[int]], *values: Any) -> Opener:
    return Opener(Inputs.from_frames(len(needs), input_frames(needs, [(pickle.dumps(value),) for value in values])))


def passed(args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, **values: Pending) -> tuple[Any, list[str]]:
    """A call as its worker opens it, where each future's value is its name; and the names in order."""
    names = {id(future): name for name, future in values.items()}
    with Found() as found:
        data = pickle_call(args, kwargs)
    order = [names[id(future)] for future in found.take()]
    return opener([list(range(len(order)))], *order).open(0, data), order


# ---- at the client


def test_futures_are_found_at_any_depth_and_their_values_stand_in_their_places():
    a, b, c = Pending(), Pending(), Pending()
    args = (a, [1, (b, {"x": {c}})], {a: b}, Pair(b, [c]), Slots(c))
    call, order = passed(args, a=a, b=b, c=c)
    assert call[:4] == ("a", [1, ("b", {"x": {"c"}})], {"a": "b"}, Pair("b", ["c"]))
    assert call[4].content == "c"
    assert order == ["a", "b", "c"]


def test_futures_are_found_among_keyword_arguments():
    a, b = Pending(), Pending()
    assert passed((a,), {"one": b, "two": [a]}, a=a, b=b) == ([("a",), {"one": "b", "two": ["a"]}], ["a", "b"])


def test_futures_are_found_in_what_only_cloudpickle_takes():
    class Local:
        def __init__(self, content: Any) -> None:
            self.content = content

    a, b = Pending(), Pending()
    (local, function), order = passed((Local([a]), lambda: b), a=a, b=b)
    assert (local.content, function(), order) == (["a"], "b", ["a", "b"])


def test_a_future_twice_in_a_call_is_one_value():
    a = Pending()
    (first, second), order = passed((a, [a]), a=a)
    assert (second, order) == (["a"], ["a"])
    assert first is second[0]


def test_a_value_that_is_here_goes_in_the_bytes():
    unopened, opened = Done([1]), Done([2], is_opened=True)
    call, order = passed((unopened, {"x": opened}, unopened, opened.value))
    assert (call, order) == (([1], {"x": [2]}, [1], [2]), [])
    assert call[0] is call[2]
    assert call[1]["x"] is call[3]


@pytest.mark.parametrize("future", [Pending(), Done(1), Done(1, is_opened=True)])
def test_elsewhere_a_future_is_not_pickled(future: Any):
    with Found(), pytest.raises(TypeError, match=r"pass what result\(\)"):
        in_another_thread(lambda: pickle.dumps(future))
    with pytest.raises(TypeError, match="futures cannot be pickled, other than among the arguments of a call"):
        pickle.dumps(future)


def in_another_thread(action: Any) -> None:
    errors: list[Exception] = []

    def act() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # raised again where the test waits
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10)
    raise errors[0]


def test_a_part_that_pickles_itself_may_have_futures_too():
    class Sealed:
        def __init__(self, content: Any) -> None:
            self.content = content

        def __reduce__(self) -> tuple[Any, ...]:
            return pickle.loads, (pickle.dumps(self.content),)

    a, b = Pending(), Pending()
    assert passed((a, Sealed([a, b])), a=a, b=b) == (("a", ["a", "b"]), ["a", "b"])


def test_a_call_that_cannot_be_sent_names_what_is_at_fault_and_not_the_future_beside_it():
    with Found(), pytest.raises(SerializationError, match=r"argument 1\['lock'\]: cannot pickle"):
        pickle_call((Pending(), {"lock": threading.Lock()}))


def test_calls_that_are_pickled_while_another_is_have_their_own_futures():
    inner = Pending()

    class Submits:
        def __reduce__(self) -> tuple[Any, ...]:
            with Found() as found:
                pickle_call((inner,))
            assert found.take() == (inner,)
            return int, ()

    outer = Pending()
    assert passed((Submits(), outer), outer=outer) == ((0, "outer"), ["outer"])


def test_more_futures_than_a_message_may_name_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_INPUTS", 3)
    with Found() as found:
        pickle_call(([Pending() for _ in range(3)],))
        assert len(found.take()) == 3
        pickle_call(([Pending() for _ in range(4)],))
        with pytest.raises(SerializationError, match="it needs 4 futures, more than 3: join them in steps"):
            found.take()


def test_columns_tell_which_of_their_calls_have_futures():
    futures = [Pending() for _ in range(40)]
    calls = [(future,) if number % 3 else (number,) for number, future in enumerate(futures)]
    told = list(columns(calls, 100))
    assert len(told) > 1
    for column, found in told:
        expected = {i: (futures[i - 100],) for i in range(column.lo, column.hi) if (i - 100) % 3}
        assert found == expected


# ---- at the worker


def test_each_call_is_opened_with_its_own_inputs_in_whatever_order():
    a, b = Pending(), Pending()
    calls = []
    with Found() as found:
        for args in ((a, b), (1,), (b,)):
            calls.append(pickle_call(args))
            found.take()
    opened = opener([[0, 1], [], [1]], "zero", "one")
    assert opened.open(2, calls[2]) == ("one",)
    assert opened.open(0, calls[0]) == ("zero", "one")
    assert opened.open(1, calls[1]) == (1,)


def test_calls_do_not_share_what_they_may_change():
    a = Pending()
    with Found():
        data = pickle_call((a,))
    opened = opener([[0], [0]], [1])
    (first,), (second,) = opened.open(0, data), opened.open(1, data)
    first.append(2)
    assert second == [1]


def test_an_input_that_cannot_be_opened_fails_its_call_and_no_other():
    with Found():
        data = pickle_call((Pending(),))
    inputs = Inputs.from_frames(2, input_frames([[0], [1]], [(b"nonsense",), (pickle.dumps(1),)]))
    opened = Opener(inputs)
    with pytest.raises(pickle.UnpicklingError):
        opened.open(0, data)
    assert opened.open(1, data) == (1,)


def test_a_call_is_not_opened_without_its_inputs():
    with Found():
        data = pickle_call((Pending(),))
    opener([[0]], 1).open(0, data)
    with pytest.raises(RuntimeError, match="the inputs of a call are known only while it is opened by its worker"):
        pickle.loads(data)  # noqa: S301  # bytes of our own


def test_an_input_that_lay_in_a_file_is_opened_and_cannot_be_written_to():
    with Found():
        call = pickle_call((Pending(),))
    content = b"".join(laid_out(dump_parts(np.arange(10_000))))
    frames = input_frames([[0]], [(content,)])
    [array] = Opener(Inputs.from_frames(1, frames)).open(0, call)
    assert (array[-1], array.flags.writeable) == (9_999, False)
