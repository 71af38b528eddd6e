"""How classes that nobody else can import travel: kept as they are where they are defined, and copied elsewhere."""

import enum
import pickle
import subprocess
import sys
import typing
from typing import Any

import pytest

from scaler.payload.classes import class_by_value
from scaler.payload.pickling import dumps

ECHO = (
    "import pickle, sys; from scaler.payload.pickling import dumps; "
    "sys.stdout.buffer.write(dumps(pickle.load(sys.stdin.buffer)()))"
)


def elsewhere(function: Any) -> Any:
    """What a function returns in another process."""
    words = [sys.executable, "-c", ECHO]
    done = subprocess.run(words, input=dumps(function), capture_output=True, check=True)
    return pickle.loads(done.stdout)  # noqa: S301  # from a process of ours


def local_class(**content: Any) -> Any:
    return type("Local", (), {"__module__": "__main__", **content})


def test_a_class_is_as_it_was_where_it_is_defined_whatever_comes_back():
    kept = local_class(mark="old", tell=lambda self: self.mark)
    tell = kept.tell
    back = elsewhere(kept)
    kept.mark = "new"
    assert (type(back), back.tell(), kept.tell is tell) == (kept, "new", True)
    assert type(pickle.loads(dumps(kept()))) is kept  # noqa: S301  # bytes of our own
    assert (kept.mark, kept.tell is tell) == ("new", True)


def test_no_subclass_is_made_of_what_comes_back():
    made: list[str] = []
    base = local_class(__init_subclass__=lambda *_: made.append("one"))
    child = type("Child", (base,), {"__module__": "__main__"})
    made.clear()
    assert type(elsewhere(child)) is child
    assert made == []


@pytest.mark.parametrize("slots", [("x",), "x", ["x", "__weakref__"], ("__x", "x")])
def test_a_class_without_a_dictionary_has_none_elsewhere(slots: Any):
    def make() -> tuple[Any, bool]:
        one = kept()
        one.x = 3
        return one, hasattr(one, "__dict__")

    kept = local_class(__slots__=slots)
    one, has_dictionary = elsewhere(make)
    assert (type(one), one.x, has_dictionary) == (kept, 3, False)


def test_members_of_enumerations_and_named_tuples_are_what_they_were():
    class Color(enum.Enum):
        RED = 1

    class Pair(typing.NamedTuple):
        color: Color
        more: int = 2

    pair = elsewhere(lambda: Pair(Color.RED))
    assert (type(pair), pair.color is Color.RED, pair.more) == (Pair, True, 2)


class Made:
    """What cloudpickle would have another process do."""

    def __init__(self) -> None:
        self.states: list[tuple[type, object]] = []
        self.count = 0

    def make(self, *_: object) -> type:
        self.count += 1
        return type("Copy", (), {})

    def set_state(self, value: type, state: object) -> None:
        self.states.append((value, state))


def test_a_copy_is_made_once_and_is_as_it_was_sent_last():
    made, gone = Made(), local_class()
    reduced = class_by_value(
        gone, (made.make, (type, "Local", (), {}, "a name", None), "old", None, None, made.set_state)
    )
    again, arguments, state, *_, set_state = reduced
    assert again(*arguments) is gone
    set_state(gone, state)
    assert (made.count, made.states) == (0, [])
    arguments = (*arguments[:-2], "another name", None)
    copy = again(*arguments)
    assert again(*arguments) is copy
    set_state(copy, state)
    set_state(copy, (made.set_state, "new"))
    assert (made.count, made.states) == (1, [(copy, "old"), (copy, "new")])
