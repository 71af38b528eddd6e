"""Values that lie where they were made: read in place, fetched, made anew, and let go of."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaler.client import stored as stored_module
from scaler.client.freed import FreedValues
from scaler.client.stored import StoredValue, StoredValues
from scaler.client.waits import within
from scaler.errors import ClientQuitException, ObjectLostError, ScalerError
from scaler.ids import BatchId, Incarnation, ObjectId, TaskId
from scaler.ledger.events import Fetched, KnownOutcome, LetGo, ValueAsked
from scaler.payload.parts import dump_parts
from scaler.payload.values import dump_value, load_value
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import CONTENT, FAILED, MAX_FRAME_BYTES, REFERENCE, VALUE
from scaler.protocol.layout import laid_out
from scaler.protocol.options import Cause, Failure
from scaler.protocol.references import Reference, record_of
from scaler.storage.store import Place, Store, StoredFile

TASK = TaskId(BatchId(Incarnation(1), 1), 0)
NAME = ObjectId(Incarnation(2), 1)


class Line:
    """Notes what it is told, and answers those who ask in a thread of its own."""

    def __init__(self) -> None:
        self.error: ScalerError = ClientQuitException("the client has left")
        self.freed = FreedValues()
        self.told: list[LetGo | ValueAsked] = []
        self.asked = threading.Event()

    def post(self, *events: LetGo | ValueAsked) -> None:
        self.told += events
        self.asked.set()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def values(line: Line) -> StoredValues:
    return StoredValues(line)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store([Place(tmp_path / "scaler-store-test", 1e9, "in a folder")])
    yield store
    store.remove()


def stored(store: Store, value: Any) -> tuple[StoredFile, KnownOutcome]:
    file = store.write("value", dump_parts(value))
    reference = Reference(NAME, file.size_bytes, str(file.path), file.token)
    return file, KnownOutcome(REFERENCE, (record_of(reference),))


def far(value: Any) -> tuple[bytes, KnownOutcome]:
    """The file of a value on another host."""
    content = b"".join(laid_out(dump_parts(value)))
    return content, KnownOutcome(REFERENCE, (record_of(Reference(NAME, len(content), "/on/another/host", b"token")),))


def held(values: StoredValues, outcome: KnownOutcome) -> StoredValue:
    found = values.hold(TASK, outcome)
    assert isinstance(found, StoredValue)
    return found


@pytest.mark.parametrize("count", [10_000, 1_000_000])
def test_it_is_read_in_place_and_may_be_written_to_without_anybody_seeing_it(
    values: StoredValues, store: Store, count: int
):
    file, outcome = stored(store, np.arange(count))
    first, second = (values.hold(TASK, outcome) for _ in range(2))
    assert first is second
    array = held(values, outcome).open().value
    array[0] = 7
    assert (array[0], array[-1]) == (7, count - 1)
    del first, second
    assert held(values, outcome).open().value[0] == 0
    assert file.path.exists()


def test_it_is_told_once_that_nobody_holds_it(values: StoredValues, store: Store, line: Line):
    _, outcome = stored(store, b"value")
    one = held(values, outcome)
    assert values.is_held(TASK)
    assert one.outcome() == outcome._replace(kept=one)
    del one
    assert line.told == [LetGo(TASK)]
    assert not values.is_held(TASK)


def test_it_can_be_read_after_its_file_is_gone_if_it_was_kept_before(values: StoredValues, store: Store):
    file, outcome = stored(store, np.arange(1_000_000))
    one = held(values, outcome)
    values.keep_all()
    del file
    assert one.open().value.sum() == 499_999_500_000


def in_thread(function: Any) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    return thread, found


def test_one_on_another_host_is_fetched_once_for_all_who_read_it(values: StoredValues, line: Line):
    content, outcome = far(np.arange(300_000))
    one = held(values, outcome)
    assert one.is_far
    threads = [in_thread(one.open) for _ in range(2)]
    assert line.asked.wait(10)
    assert line.told[0] == ValueAsked(NAME, len(content))
    pieces = [content[at : at + MAX_FRAME_BYTES] for at in range(0, len(content), MAX_FRAME_BYTES)]
    for n in reversed(range(len(pieces))):
        values.fetched(Fetched(NAME, n, (pieces[n],)))
    while any(thread.is_alive() for thread, _ in threads):
        # the second may have come so late that it has to ask once more
        if line.asked.wait(0.01) and len(line.told) > 1:
            for n, piece in enumerate(pieces):
                values.fetched(Fetched(NAME, n, (piece,)))
    assert [found[0].value[-1] for _, found in threads] == [299_999] * 2


def test_one_that_is_lost_is_waited_for_until_it_is_made_anew(values: StoredValues, line: Line, store: Store):
    _, lost = far("lost")
    one = held(values, lost)
    thread, found = in_thread(one.open)
    assert line.asked.wait(10)
    values.not_there(NAME)
    file, anew = stored(store, "anew" * 100_000)
    values.hold(TASK, anew)
    thread.join(10)
    assert found[0].value == "anew" * 100_000
    assert file.path.exists()


@pytest.mark.parametrize(
    ("anew", "value", "error"),
    [
        (KnownOutcome(VALUE, (dump_value("small"),)), "small", None),
        (
            KnownOutcome(FAILED, (encode_failure(Failure(Cause.OBJECT_LOST, "it is gone")),)),
            None,
            ObjectLostError,
        ),
    ],
)
def test_it_is_whatever_its_task_has_come_to_last(
    values: StoredValues, anew: KnownOutcome, value: object, error: type | None
):
    one = held(values, far("lost")[1])
    values.replace(TASK, anew)
    outcome = one.open()
    assert outcome.value == value
    assert error is None or isinstance(outcome.error, error)


def in_thread_failing(one: StoredValue, line: Line) -> tuple[threading.Thread, list[Any]]:
    def attempt() -> Any:
        try:
            return one.open()
        except ObjectLostError as error:
            return str(error)

    thread, found = in_thread(attempt)
    assert line.asked.wait(10)
    return thread, found


def test_a_piece_of_another_size_is_an_error(values: StoredValues, line: Line):
    thread, found = in_thread_failing(held(values, far("far")[1]), line)
    values.fetched(Fetched(NAME, 0, (b"less",)))
    thread.join(10)
    assert "pieces that are not its own" in found[0]


def test_who_waits_hears_that_nothing_comes_any_more(values: StoredValues, line: Line):
    thread, found = in_thread_failing(held(values, far("far")[1]), line)
    values.over()
    thread.join(10)
    assert "the client has left" in found[0]


def test_who_waits_for_one_that_comes_by_another_name_or_again_looks_once_more(values: StoredValues, line: Line):
    one = held(values, far("lost")[1])
    thread, found = in_thread(one.open)
    assert line.asked.wait(10)
    values.replace(TASK, KnownOutcome(VALUE, (dump_value(1),)))
    thread.join(10)
    assert (found[0].value, line.told[-1]) == (1, ValueAsked(NAME, 0))


def test_it_is_waited_for_no_longer_than_who_reads_it_may(values: StoredValues, line: Line):
    one = held(values, far("far")[1])
    with within(0.01), pytest.raises(TimeoutError):
        one.open()
    assert line.told == [ValueAsked(NAME, one.size_bytes)]


def test_a_forked_child_waits_for_nothing(values: StoredValues):
    one = held(values, far("far")[1])
    values.disown()
    with pytest.raises(ObjectLostError):
        one.open()


def test_one_that_was_kept_goes_by_value_to_who_needs_it(values: StoredValues, store: Store):
    file, outcome = stored(store, np.arange(1_000_000))
    one = held(values, outcome)
    values.keep_all()
    del file
    told = one.outcome()
    assert told.status == CONTENT
    assert load_value(told.status, b"".join(told.frames)).value[-1] == 999_999


def test_no_more_is_copied_to_be_kept_than_that_is_worth(
    values: StoredValues, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_module, "MOST_COPIED_BYTES", 150_000)
    made = [store.write(str(n), dump_parts(bytes(100_000))) for n in range(3)]
    kept = [
        values.hold(
            TaskId(TASK.batch, n),
            KnownOutcome(REFERENCE, (record_of(Reference(NAME, one.size_bytes, str(one.path), one.token)),)),
        )
        for n, one in enumerate(made)
    ]
    values.keep_all()
    assert sum(one.outcome().status == CONTENT for one in kept if isinstance(one, StoredValue)) == 1


def test_what_is_no_record_is_an_error(values: StoredValues):
    assert held(values, KnownOutcome(REFERENCE, (b"nonsense",))).open().error is not None
