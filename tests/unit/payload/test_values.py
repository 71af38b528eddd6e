import functools
import threading
from array import array
from collections.abc import Sequence
from concurrent.futures import CancelledError
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from scaler.errors import (
    DeserializeObjectError,
    MemoryLimitError,
    MissingObjects,
    ObjectLostError,
    ProtocolError,
    SchedulerError,
    SerializationError,
    StoreFullError,
    TaskError,
    TaskTimeoutError,
    UnknownTagError,
    WalltimeError,
    WorkerDiedError,
)
from scaler.payload import values as values_module
from scaler.payload.exceptions import dump_exception
from scaler.payload.inputs import INLINE_BYTES
from scaler.payload.parts import dump_parts, load_parts
from scaler.payload.values import dump_result, dump_value, exception_from_failure, load_column, load_value
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import CONTENT, FAILED, RAISED, RAISED_RETRYABLE, REFERENCE, VALUE, Frame, ResultColumn
from scaler.protocol.layout import laid_out
from scaler.protocol.options import Cause, Failure

_THE_LOCK = threading.Lock()


class Stubborn:
    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ModuleNotFoundError("No module named 'elsewhere'")


class Holder:
    def __init__(self, part: object) -> None:
        self.part = part


class Selective(Holder):
    def __getstate__(self) -> dict[str, object]:
        return {"kept": self.part}


class Slotted:
    __slots__ = ("part",)

    def __init__(self, part: object) -> None:
        self.part = part


def column_of(outcomes: list[tuple[int, bytes]], lo: int = 0, base: int = 0) -> ResultColumn:
    ends = array("Q", accumulate((len(data) for _, data in outcomes), initial=base))[1:]
    return ResultColumn(
        lo,
        len(outcomes),
        base,
        bytes(status for status, _ in outcomes),
        bytes(4 * len(outcomes)),
        ends.tobytes(),
        b"",
        (b"".join(data for _, data in outcomes),),
    )


@pytest.mark.parametrize("value", [None, 1, "x", [1, {"a": (2,)}], b"", Holder, len])
def test_a_value_arrives_as_it_was(value: object):
    outcome = load_value(VALUE, memoryview(dump_value(value)))
    assert (outcome.value, outcome.error) == (value, None)


def test_a_local_function_is_a_result_like_others():
    offset = 3
    assert load_value(VALUE, dump_value(lambda x: x + offset)).value(1) == 4


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "result"),
        ({"a": Holder(threading.Lock())}, "result['a'].part"),
        ([1, (2, Slotted(threading.Lock()))], "result[1][1].part"),
        (Selective(threading.Lock()), "result.kept"),
        (Holder(Holder([threading.Lock()])).__init__, "result.__self__.part.part[0]"),
    ],
)
def test_a_result_that_cannot_be_sent_is_named(value: object, path: str):
    with pytest.raises(SerializationError) as raised:
        dump_value(value)
    assert str(raised.value) == (
        f"the task returned what cannot be sent back: {path}: cannot pickle '_thread.lock' object"
    )


def test_paths_lead_through_keys_partials_and_constructor_arguments():
    lock = threading.Lock()
    parts: list[tuple[object, str]] = [
        ({(1, lock): 1}, "result's key (1, <unlocked _th"),
        (functools.partial(print, sep=lock), "result.keywords['sep']: "),
        (functools.partial(lambda: lock), "result.func's variable lock: "),
        (frozenset((lock,)), "result's element <unlocked "),
        (OSError(1, lock), "result's constructor argument 1: "),
        (lambda: _THE_LOCK, "result's global _THE_LOCK: "),
    ]
    for value, path in parts:
        with pytest.raises(SerializationError) as raised:
            dump_value(value)
        assert path in str(raised.value)


def test_defaults_of_functions_are_named():
    def positional(_: object = threading.Lock()) -> None: ...

    def by_keyword(*, lock: object = threading.Lock()) -> None: ...

    with pytest.raises(SerializationError, match="result's default: cannot pickle"):
        dump_value(positional)
    with pytest.raises(SerializationError, match="result's default of lock: cannot pickle"):
        dump_value(by_keyword)


def test_a_value_that_refuses_to_be_looked_at_is_named_itself():
    class Closed:
        def __reduce_ex__(self, protocol: object) -> str:
            raise RuntimeError

    with pytest.raises(SerializationError, match=r"result\.part: RuntimeError$"):
        dump_value(Holder(Closed()))


def test_the_path_is_told_of_generators_and_closures_too():
    lock = threading.Lock()

    def use(_: object = lock) -> None:
        lock.acquire()

    with pytest.raises(SerializationError, match="result: cannot pickle 'generator' object"):
        dump_value(n for n in range(3))
    with pytest.raises(SerializationError, match="result's variable lock: cannot pickle"):
        dump_value(use)


def test_a_value_that_cannot_be_loaded_here_says_why():
    outcome = load_value(VALUE, dump_value(Stubborn()))
    assert isinstance(outcome.error, DeserializeObjectError)
    assert str(outcome.error) == (
        "the result cannot be loaded here: ModuleNotFoundError: No module named 'elsewhere'; "
        "it has to be installed here as for the workers, or its folder named in PYTHONPATH"
    )
    assert isinstance(outcome.error.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("status", [RAISED, RAISED_RETRYABLE])
def test_what_a_task_raised_is_an_error(status: int):
    outcome = load_value(status, memoryview(dump_exception(ValueError("x"), 0, "note")), attempts=2)
    assert repr(outcome.error) == "ValueError('x')"
    assert outcome.error is not None
    assert outcome.error.__notes__ == ["note, attempt 2"]


def test_a_failure_is_an_error_of_ours():
    outcome = load_value(FAILED, encode_failure(Failure(Cause.DIED, "killed by signal 9")))
    assert isinstance(outcome.error, WorkerDiedError)
    assert not hasattr(outcome.error, "__notes__")
    assert isinstance(load_value(FAILED, b"garbage").error, ProtocolError)


def test_a_failure_tells_the_attempt_that_its_result_came_of():
    outcome = load_value(FAILED, encode_failure(Failure(Cause.DIED, "signal 9", "host, worker 3")), attempts=2)
    assert outcome.error is not None
    assert outcome.error.__notes__ == ["on host, worker 3, attempt 2"]


@pytest.mark.parametrize("status", [REFERENCE, 99])
def test_a_status_that_is_not_known_is_an_error(status: int):
    assert isinstance(load_value(status, dump_value(1)).error, ProtocolError)


@pytest.mark.parametrize("base", [0, 1000])
def test_a_column_of_values_is_a_list(base: int):
    assert load_column(column_of([(VALUE, dump_value(n)) for n in range(100)], base=base)) == (list(range(100)), [])


def test_exceptions_stand_among_the_values_and_their_indices_are_told():
    raised = dump_exception(ValueError("x"), 0, "")
    values, failed = load_column(column_of([(VALUE, dump_value(1)), (RAISED, raised), (VALUE, dump_value(2))], lo=5))
    assert (values[0], repr(values[1]), values[2], failed) == (1, "ValueError('x')", 2, [6])


def test_one_value_that_cannot_be_loaded_does_not_hide_its_neighbours():
    values, failed = load_column(column_of([(VALUE, dump_value(1)), (VALUE, dump_value(Stubborn()))]))
    assert (values[0], type(values[1]), failed) == (1, DeserializeObjectError, [1])


def test_a_reference_is_never_taken_for_a_value():
    values, failed = load_column(column_of([(REFERENCE, dump_value(1))]))
    assert (type(values[0]), failed) == (ProtocolError, [0])


def test_a_large_value_comes_in_several_frames():
    data = dump_value(b"x" * 3_000_000)
    column = column_of([(VALUE, data)])
    column = ResultColumn(
        0, 1, 0, column.statuses, column.run_us, column.ends, b"", (data[:1_000_000], data[1_000_000:])
    )
    assert load_column(column) == ([b"x" * 3_000_000], [])


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (Cause.DIED, WorkerDiedError),
        (Cause.VANISHED, WorkerDiedError),
        (Cause.MEMORY, MemoryLimitError),
        (Cause.TIMEOUT, TaskTimeoutError),
        (Cause.WALLTIME, WalltimeError),
        (Cause.UNKNOWN_TAG, UnknownTagError),
        (Cause.DEPENDENCY, TaskError),
        (Cause.OBJECT_LOST, ObjectLostError),
        (Cause.MISSING_OBJECT, MissingObjects),
        (Cause.CANCELLED, CancelledError),
        (Cause.REFUSED, SchedulerError),
    ],
)
def test_each_cause_has_its_exception(cause: Cause, kind: type[BaseException]):
    assert type(exception_from_failure(Failure(cause, "text"))) is kind


def test_every_cause_has_an_exception():
    for cause in Cause:
        assert str(exception_from_failure(Failure(cause, "why"))).startswith("why")


def test_what_is_lost_is_told_with_what_to_do_and_the_task_that_needs_it():
    failure = Failure(Cause.OBJECT_LOST, "object 1-2 is gone")
    text = "object 1-2 is gone: make or send it anew, and submit again what needs it"
    assert str(exception_from_failure(failure)) == text
    assert str(exception_from_failure(failure, task="in task 7 (f)")) == f"{text} (in task 7 (f))"


def test_a_failure_shows_where_and_with_what_output():
    error = exception_from_failure(Failure(Cause.DIED, "signal 11", "host, worker 3", -11, "a\nb\n", "frames\n", 2))
    assert str(error) == "signal 11\nlast lines on stderr:\na\nb\nframes"
    assert error.__notes__ == ["on host, worker 3, attempt 2"]


def test_a_failure_tells_its_task_where_that_is_known():
    failure = Failure(Cause.DIED, "signal 11", "host, worker 3")
    assert exception_from_failure(failure, 2, "in task 7 (f)").__notes__ == [
        "in task 7 (f) on host, worker 3, attempt 2"
    ]
    assert exception_from_failure(Failure(Cause.VANISHED, "lost"), task="in task 7 (f)").__notes__ == ["in task 7 (f)"]
    others = Failure(Cause.DIED, "signal 9", "host", attempts=2, task="5 (g)")
    assert exception_from_failure(others, task="in task 7 (f)").__notes__ == ["in task 5 (g) on host, attempt 2"]
    outcome = load_value(FAILED, encode_failure(failure), 2, "in task 7 (f)")
    assert outcome.error is not None
    assert outcome.error.__notes__ == ["in task 7 (f) on host, worker 3, attempt 2"]


def test_a_value_that_no_message_has_room_for_cannot_be_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(values_module, "MAX_VALUE_BYTES", 1000)
    assert load_value(VALUE, dump_value([bytes(900)])).value == [bytes(900)]
    with pytest.raises(SerializationError, match=r"the result of the task has 1,\d{3} bytes when pickled"):
        dump_value([bytes(1000)])


class Laid:
    """What takes large results, or has no room for them."""

    def __init__(self, *, has_room: bool = True) -> None:
        self.parts: list[tuple[bytes, ...]] = []
        self._has_room = has_room

    def __call__(self, parts: Sequence[Frame]) -> bytes:
        if not self._has_room:
            raise StoreFullError("there is no room")
        self.parts.append(tuple(bytes(part) for part in parts))
        return b"record"


LARGE_VALUES = [
    bytes(INLINE_BYTES),
    "t" * INLINE_BYTES,
    bytearray(INLINE_BYTES),
    [bytes(INLINE_BYTES)],
    array("d", range(INLINE_BYTES)),
    list(range(INLINE_BYTES)),
]


@pytest.mark.parametrize("value", LARGE_VALUES, ids=lambda value: type(value).__name__)
def test_a_large_result_is_laid_in_parts(value: object):
    laid = Laid()
    assert dump_result(value, laid) == (REFERENCE, b"record")
    [parts] = laid.parts
    found = load_parts(parts)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", LARGE_VALUES, ids=lambda value: type(value).__name__)
def test_one_that_nowhere_has_room_for_goes_by_value(value: object):
    status, data = dump_result(value, Laid(has_room=False))
    assert status == VALUE
    assert load_value(status, data).value == value


@pytest.mark.parametrize("value", [None, b"b" * 5000, bytearray(5000), [1, {"a": (2,)}], array("d", range(1000))])
def test_a_small_result_goes_by_value(value: object):
    laid = Laid()
    status, data = dump_result(value, laid)
    assert (status, load_value(status, data).value, laid.parts) == (VALUE, value, [])


def test_a_small_result_is_pickled_once_and_as_it_always_was():
    class Counted:
        pickled = 0

        def __reduce__(self) -> tuple[object, ...]:
            Counted.pickled += 1
            return list, ()

    assert load_value(*dump_result([Counted(), 1], Laid())).value == [[], 1]
    assert Counted.pickled == 1
    for value in ([1, 2], {"a": "b"}, (Holder(3),), {1, 2}):
        assert dump_result(value, Laid()) == (VALUE, dump_value(value))


def test_a_result_of_which_a_part_cannot_be_pickled_says_the_same_in_either_way():
    for value in ([threading.Lock()], [bytes(INLINE_BYTES), threading.Lock()]):
        told = []
        for dump in (dump_value, lambda value: dump_result(value, Laid())):
            with pytest.raises(SerializationError) as raised:
                dump(value)
            told.append(str(raised.value))
        assert told[0] == told[1]


def test_what_is_too_large_for_a_message_may_be_laid(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(values_module, "MAX_VALUE_BYTES", INLINE_BYTES)
    for value in ([bytes(INLINE_BYTES)], bytes(INLINE_BYTES)):
        assert dump_result(value, Laid())[0] == REFERENCE
        with pytest.raises(SerializationError, match="the result of the task has"):
            dump_result(value, Laid(has_room=False))


def test_what_lay_in_a_file_is_opened_and_is_the_callers_own():
    array = np.arange(10_000)
    outcome = load_value(CONTENT, b"".join(laid_out(dump_parts(array))))
    outcome.value[0] = 7
    assert (outcome.error, outcome.value[0], outcome.value[-1], array[0]) == (None, 7, 9_999, 0)
    assert isinstance(load_value(CONTENT, b"nonsense").error, DeserializeObjectError)
