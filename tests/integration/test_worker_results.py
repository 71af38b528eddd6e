"""Real workers lay large results in the store of their cluster, and say where they are."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from scaler.errors import SerializationError
from scaler.ids import WorkerId
from scaler.payload.custom import Carrier
from scaler.payload.parts import load_parts
from scaler.payload.values import load_value
from scaler.protocol.columns import FAILED, RAISED, REFERENCE, VALUE
from scaler.protocol.references import Reference, read_record, record_of
from scaler.protocol.result_names import maker_of
from scaler.resources import INLINE_BYTES
from scaler.storage.reading import is_here, parts_of
from scaler.storage.store import Place
from scaler.worker.agent_events import Harvested, Interrupt, KillWorker, WorkerEnded
from scaler.worker.agent_result_events import AdoptResults, DropLeftovers, DropResults
from tests.integration.worker_driver import CLUSTER, Driver, Input

WORKER = WorkerId(0)
LIMIT = 4 * INLINE_BYTES


class Laying(Driver):
    """A worker of a cluster with a store."""

    def __init__(self, root: Path, threads: int = 1, *, has_disk: bool = True) -> None:
        self.root = root
        memory = Place(root / "memory", LIMIT, "in memory")
        disk = Place(root / "disk", float("inf"), "on disk")
        super().__init__(dict(os.environ), threads, [memory, disk] if has_disk else [memory])
        self.start()

    def made(self, function: Callable[..., Any], *calls: tuple[Any, ...]) -> list[tuple[int, bytes]]:
        """Status and bytes of these calls."""
        before = len(self.results())
        self.define(function)
        self.give(function, list(calls))
        self.wait(lambda: len(self.results()) == before + len(calls))
        return [(status, data) for _, status, data in self.results()[before:]]

    def files(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*-*") if path.is_file())


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Laying]:
    made = Laying(tmp_path)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def opened(made: tuple[int, bytes]) -> Any:
    """The value of a result that lies in the store."""
    assert made[0] == REFERENCE
    return load_parts(parts_of(read_record(made[1])))


def same(value: Any) -> Any:
    return value


def zeros(size: int) -> bytes:
    return bytes(size)


def test_a_large_result_is_a_file_of_the_store_and_a_small_one_is_not(driver: Laying):
    made = driver.made(zeros, (INLINE_BYTES - 100,), (INLINE_BYTES,))
    assert [status for status, _ in made] == [VALUE, REFERENCE]
    assert opened(made[1]) == bytes(INLINE_BYTES)
    reference = read_record(made[1][1])
    assert len(made[1][1]) < 300
    assert (reference.object.owner, maker_of(reference.object)) == (CLUSTER, WORKER)
    assert is_here(reference.path, reference.token)
    assert driver.files() == [Path(reference.path)]
    assert Path(reference.path).stat().st_size == reference.size_bytes


@pytest.mark.parametrize(
    "value",
    [
        "t" * INLINE_BYTES,
        bytearray(INLINE_BYTES),
        [b"b" * INLINE_BYTES],
        list(range(INLINE_BYTES)),
        1 << 8 * INLINE_BYTES,
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_large_is_what_it_was(driver: Laying, value: Any):
    found = opened(driver.made(same, (value,))[0])
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", ["t" * 100, bytearray(100), [b"b" * 100], 7, None, 1.5, {"a": (1,)}])
def test_what_is_small_goes_by_value(driver: Laying, value: Any):
    [(status, data)] = driver.made(same, (value,))
    assert (status, load_value(status, data).value) == (VALUE, value)
    assert driver.files() == []


def test_arrays_lie_beside_their_pickle_unless_all_together_is_small(driver: Laying):
    def arrays(count: int, size: int) -> list[Any]:
        return [np.arange(size) for _ in range(count)]

    large, small = driver.made(arrays, (3, INLINE_BYTES), (2, 1000))
    for found in opened(large):
        np.testing.assert_array_equal(found, np.arange(INLINE_BYTES))
    assert len(parts_of(read_record(large[1]))) == 4
    assert small[0] == VALUE
    np.testing.assert_array_equal(load_value(*small).value[1], np.arange(1000))


class Counted:
    """Counts how often it is pickled, on the side of the worker."""

    pickled = 0

    def __init__(self, size: int) -> None:
        self.content = bytes(size)

    def __reduce__(self) -> tuple[Any, ...]:
        type(self).pickled += 1
        return tuple, ((type(self).pickled, self.content),)


@pytest.mark.parametrize("size", [10, LIMIT])
def test_what_a_task_returns_is_pickled_once(driver: Laying, size: int):
    [made] = driver.made(Counted, (size,))
    found = load_value(*made).value if size == 10 else opened(made)
    assert found == (1, bytes(size))


def test_what_cannot_be_pickled_says_what_it_always_did(driver: Laying):
    def bad(size: int) -> Any:
        return {"large": bytes(size), "lock": __import__("threading").Lock()}

    for size in (10, LIMIT):
        [(status, data)] = driver.made(bad, (size,))
        error = load_value(status, data).error
        assert isinstance(error, SerializationError)
        assert str(error) == (
            "the task returned what cannot be sent back: result['lock']: cannot pickle '_thread.lock' object"
        )
    assert driver.files() == []


def test_what_a_serializer_of_the_users_own_makes_is_the_value(driver: Laying):
    class Reversed:
        @staticmethod
        def serialize(obj: Any) -> bytes:
            return cloudpickle.dumps(obj)[::-1]

        @staticmethod
        def deserialize(payload: bytes) -> Any:
            return cloudpickle.loads(payload[::-1])

    carrier = Carrier(Reversed())
    value = b"ab" * INLINE_BYTES
    small, large = driver.made(carrier.function(same), (carrier.value(b"ab"),), (carrier.value(value),))
    assert load_value(*small).value == b"ab"
    assert opened(large) == value


def test_results_spill_to_the_disk_when_memory_is_full_and_return_when_it_is_not(driver: Laying):
    made = [read_record(driver.made(zeros, (LIMIT // 2,))[0][1]) for _ in range(1)]
    driver.tell(AdoptResults((made[0].object,)))
    made += [read_record(driver.made(zeros, (LIMIT // 2,))[0][1])]
    driver.tell(DropResults((made[0].object,)))
    made += [read_record(driver.made(zeros, (LIMIT // 2,))[0][1])]
    assert [Path(one.path).parent.name for one in made] == ["memory", "disk", "memory"]
    driver.tell(DropResults(tuple(one.object for one in made)))
    assert driver.files() == []


def test_where_there_is_no_room_results_go_by_value(tmp_path: Path):
    driver = Laying(tmp_path, has_disk=False)
    try:
        bytes_made, array_made = driver.made(same, (bytes(2 * LIMIT),), (np.zeros(2 * LIMIT, "u1"),))
        assert load_value(*bytes_made).value == bytes(2 * LIMIT)
        assert load_value(*array_made).value.tobytes() == bytes(2 * LIMIT)
        assert driver.files() == []
    finally:
        driver.close()


def test_a_task_that_is_interrupted_while_its_result_is_made_leaves_nothing(driver: Laying):
    class Slow:
        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def __reduce__(self) -> tuple[Any, ...]:
            time.sleep(self.seconds)
            return int, ()

    def slow(seconds: float) -> list[Any]:
        return [bytes(LIMIT), Slow(seconds)]

    driver.define(slow)
    driver.define(zeros)
    ticket = driver.give(slow, [(0,), (1000,)])
    driver.wait(lambda: driver.of(Harvested) != [] and driver.of(Harvested)[-1].slots[0].index == 1)
    driver.tell(Interrupt(WORKER, 0, ticket, 1))
    driver.wait(lambda: len(driver.results()) == 2)
    assert driver.results()[1][1] == RAISED
    assert opened(driver.made(zeros, (INLINE_BYTES,))[0]) == bytes(INLINE_BYTES)
    assert len(driver.files()) == 2


def test_what_a_worker_that_was_killed_has_written_and_not_told_is_removed(driver: Laying):
    [made] = driver.made(zeros, (INLINE_BYTES,))
    reference = read_record(made[1])
    half = Path(f"{reference.path[:-1]}{int(reference.path[-1]) + 1}")
    half.write_bytes(b"half")
    driver.tell(KillWorker(WORKER))
    driver.wait_for(WorkerEnded)
    driver.tell(AdoptResults((reference.object,)))
    driver.tell(DropLeftovers(WORKER))
    assert driver.files() == [Path(reference.path)]


def test_threads_of_a_worker_make_names_of_their_own(tmp_path: Path):
    driver = Laying(tmp_path, threads=3)
    try:
        driver.define(zeros)
        for lo in range(30):
            driver.give(zeros, [(INLINE_BYTES,)], lo=lo)
        driver.wait(lambda: len(driver.results()) == 30)
        names = {read_record(data).object for _, status, data in driver.results() if status == REFERENCE}
        assert len(names) == len(driver.files()) == 30
    finally:
        driver.close()


def test_a_call_whose_input_is_gone_is_told_as_such(driver: Laying):
    gone = record_of(Reference(read_record(driver.made(zeros, (INLINE_BYTES,))[0][1]).object, 9, "/nowhere/1", b"t"))
    [(status, data)] = driver.made(same, (Input(data=gone),))
    assert status == FAILED
    assert "is not there any more: its owner ended, or somebody removed /nowhere/1" in str(
        load_value(status, data).error
    )
