import functools
import operator
import pickle
import socket
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import pytest

from scaler.errors import ProtocolError, ScalerError, TaskError
from scaler.payload.exceptions import MAX_FRAMES, MAX_LINKED, MAX_TEXT, dump_exception, load_exception


class TwoArgumentsError(Exception):
    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class DoublingError(ValueError):
    """Its pickle makes it anew with a message that has been prefixed once already."""

    def __init__(self, message: str) -> None:
        super().__init__(f"bad: {message}")


class OddOSError(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(2, "No such thing", path)
        self.path = path


class KeywordOnlyError(RuntimeError):
    def __init__(self, *, limit: int) -> None:
        super().__init__(f"over {limit}")
        self.limit = limit


class WithStateError(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()
        self.detail = [1, 2]


class UntellableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class UnrepeatableError(Exception):
    def __str__(self) -> str:
        return f"at {id(self)}"


class OnlyError(Exception):
    made = False

    def __new__(cls, *args: object) -> Self:
        if cls.made:
            raise TypeError("there is one already")
        return super().__new__(cls, *args)


class LeavingError(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(3)


@dataclass(frozen=True)
class FrozenError(Exception):
    reason: str


class Group(ExceptionGroup[Exception]):
    pass


def raised_by(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001  # as a worker catches it
        return error
    raise AssertionError("nothing was raised")


def raising(error: BaseException) -> BaseException:
    def task() -> None:
        raise error

    return raised_by(task)


def sent(error: BaseException) -> BaseException:
    return load_exception(dump_exception(error, 1, "in task a-1-0"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        KeyError("missing"),
        TwoArgumentsError(3, "three"),
        DoublingError("x"),
        OddOSError("/nowhere"),
        KeywordOnlyError(limit=5),
        OSError(2, "No such file or directory", "/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(4),
        ImportError("no", name="mod", path="/p"),
        socket.gaierror(8, "unknown"),
        ExceptionGroup("several", [ValueError("a"), TwoArgumentsError(1, "b")]),
        Group("several", [OSError(2, "b")]),
        BaseExceptionGroup("base", [KeyboardInterrupt(), ExceptionGroup("inner", [KeyError(1)])]),
        FrozenError("cold"),
        ScalerError("ours"),
        TaskError("m", "T", "text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_arrives_with_its_type_message_and_attributes(error: BaseException):
    got = sent(raising(error))
    assert type(got) is type(error)
    assert str(got) == str(error)
    assert len(got.args) == len(error.args)
    assert {**vars(got), "__notes__": None} == {**vars(error), "__notes__": None}


def test_an_exception_with_fields_of_its_own_has_them_again():
    got = sent(raising(OddOSError("/nowhere")))
    assert isinstance(got, OddOSError)
    assert (got.errno, got.filename, got.path) == (2, "/nowhere", "/nowhere")


def test_members_of_a_group_keep_their_frames_and_causes():
    def inner() -> None:
        try:
            raise KeyError("root")
        except KeyError as error:
            raise TwoArgumentsError(1, "inner") from error

    got = sent(raising(ExceptionGroup("several", [raised_by(inner)])))
    assert isinstance(got, ExceptionGroup)
    (member,) = got.exceptions
    assert isinstance(member.__cause__, KeyError)
    assert "inner" in [frame.name for frame in traceback.extract_tb(member.__traceback__)]


def test_the_remote_frames_are_shown_without_the_workers_own():
    def task() -> None:
        operator.truediv(1, len(""))

    got = sent(raised_by(task))
    frames = traceback.extract_tb(got.__traceback__)
    assert [frame.name for frame in frames] == ["task"]
    assert "operator.truediv(1" in (frames[0].line or "")


def test_causes_contexts_and_their_suppression_are_kept():
    def explicit() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    def implicit() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904  # the point of it

    def suppressed() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None

    assert repr(sent(raised_by(explicit)).__cause__) == "KeyError('first')"
    for task, suppress in ((implicit, False), (suppressed, True)):
        got = sent(raised_by(task))
        assert got.__cause__ is None
        assert repr(got.__context__) == "KeyError('first')"
        assert got.__suppress_context__ is suppress


def test_a_note_says_where_behind_the_users_own_notes():
    error = ValueError("x")
    error.add_note("mine")
    error.add_note("mine")
    assert sent(error).__notes__ == ["mine", "mine", "in task a-1-0, attempt 1"]


def test_the_attempt_is_told_behind_the_place():
    data = dump_exception(ValueError("x"), 0, "in task a-1-0")
    assert load_exception(data, attempts=1).__notes__ == ["in task a-1-0, attempt 1"]
    assert load_exception(data, attempts=3).__notes__ == ["in task a-1-0, attempt 3"]


def test_frozen_exceptions_can_have_causes_and_notes():
    error = FrozenError("cold")
    object.__setattr__(error, "__cause__", KeyError("why"))
    got = sent(raising(error))
    assert got == error
    assert repr(got.__cause__) == "KeyError('why')"
    assert got.__notes__ == ["in task a-1-0, attempt 1"]


def test_attributes_that_cannot_be_pickled_stay_behind_and_are_named():
    got = sent(raising(WithStateError("with a lock")))
    assert isinstance(got, WithStateError)
    assert (str(got), got.detail) == ("with a lock", [1, 2])
    assert not hasattr(got, "lock")
    assert got.__notes__[0] == "attributes that cannot be pickled stayed behind: lock"


def test_local_exception_classes_arrive():
    class LocalError(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a + b)

    got = sent(raising(LocalError(1, 2)))
    assert isinstance(got, LocalError)
    assert str(got) == "3"


def test_what_cannot_be_pickled_is_described():
    def task() -> None:
        raise Exception("x", threading.Lock())  # noqa: TRY002  # any will do

    got = sent(raised_by(task))
    assert isinstance(got, TaskError)
    assert got.type_name == "Exception"
    assert str(got).startswith("Exception: ('x', <unlocked _thread.lock")
    assert "in task" in got.traceback_text
    assert [frame.name for frame in traceback.extract_tb(got.__traceback__)] == ["task"]


def test_an_exception_that_nothing_can_make_again_is_described():
    error = UnrepeatableError()
    got = sent(raising(error))
    assert isinstance(got, TaskError)
    name = f"{__name__}.UnrepeatableError"
    assert (got.type_name, str(got)) == (name, f"{name}: at {id(error)}")


def test_what_a_class_does_when_it_is_made_is_not_done_again():
    error = OnlyError("x")
    OnlyError.made = True
    got = sent(raising(error))
    assert (type(got), got.args) == (OnlyError, ("x",))


def test_a_class_that_the_client_lacks_is_described_with_type_message_and_frames():
    data = dump_exception(raising(TwoArgumentsError(1, "x")), 1, "note").replace(
        b"TwoArgumentsError", b"TwoArgumentsErros"
    )
    got = load_exception(data)
    assert isinstance(got, TaskError)
    assert got.type_name == f"{__name__}.TwoArgumentsErros"
    assert str(got) == f"{__name__}.TwoArgumentsErros: 1: x"
    assert ", in task" in got.traceback_text


@pytest.mark.parametrize("error", [UntellableError("x"), LeavingError("x")])
def test_exceptions_that_misbehave_while_they_are_described_still_arrive(error: Exception):
    got = sent(raising(error))
    assert type(error).__name__ in (type(got).__name__, *getattr(got, "type_name", "").split("."))


def test_what_a_broken_exception_says_of_itself_is_not_trusted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traceback, "format_exception", operator.truediv)
    got = sent(raising(Exception(threading.Lock())))
    assert isinstance(got, TaskError)
    assert got.traceback_text.endswith("(not described further: TypeError)")


def test_notes_that_are_no_list_of_texts_are_left_behind():
    error = ValueError("x")
    error.__notes__ = 5
    assert sent(error).__notes__ == ["in task a-1-0, attempt 1"]


def test_a_huge_message_is_cut():
    got = sent(raising(ValueError("x" * (40 << 20))))
    assert type(got) is ValueError
    assert str(got).endswith(f"… ({(40 << 20) - MAX_TEXT} more characters)")
    assert len(dump_exception(ValueError("x" * (40 << 20)), 0, "")) < 4 * MAX_TEXT


def test_large_attributes_travel_whole():
    error = ValueError("x")
    error.data = bytes(3 << 20)
    assert sent(error).data == bytes(3 << 20)


def test_a_deep_recursion_keeps_its_first_and_last_frames():
    def dig(depth: int) -> int:
        return dig(depth + 1)

    got = sent(raised_by(functools.partial(dig, 0)))
    assert isinstance(got, RecursionError)
    assert len(traceback.extract_tb(got.__traceback__)) == MAX_FRAMES


def test_causes_in_a_circle_come_along_once():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    second.__context__ = first
    got = sent(first)
    assert got.__cause__ is not None
    assert got.__cause__.__cause__ is got


def test_a_web_of_causes_costs_no_more_than_its_members():
    def linked(depth: int) -> BaseException:
        error: BaseException = ValueError("bottom")
        below: BaseException = KeyError("bottom")
        for number in range(depth):
            upper, other = ValueError(number), KeyError(number)
            upper.__cause__, upper.__context__ = error, below
            other.__cause__, other.__context__ = below, error
            error, below = upper, other
        return error

    assert len(pickle.loads(dump_exception(linked(200), 0, ""))) == MAX_LINKED  # noqa: S301  # our own


def test_a_group_with_too_many_members_arrives_without_their_frames():
    got = sent(raising(ExceptionGroup("many", [raising(ValueError(n)) for n in range(200)])))
    assert isinstance(got, ExceptionGroup)
    assert len(got.exceptions) == 200


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([]), pickle.dumps([{}]), pickle.dumps(5)])
def test_a_broken_record_is_an_error_of_its_own(data: bytes):
    assert isinstance(load_exception(data), ProtocolError)
