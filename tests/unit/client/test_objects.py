"""The objects of a client: made once, there while somebody needs them, told of as they come and go."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scaler.client.freed import FreedValues
from scaler.client.objects import EQUAL_BYTES, ObjectReference, Objects, Uploaded
from scaler.errors import MissingObjects, ObjectLostError, SerializationError, StoreFullError
from scaler.ids import BatchId, Incarnation, ObjectId, TaskId
from scaler.ledger.events import ObjectFreed, ObjectMade, Say
from scaler.payload.calls import pickle_call
from scaler.payload.functions import pickle_function
from scaler.payload.inputs import INLINE_BYTES, Found, Opener
from scaler.protocol import FetchChunks, ObjectChunk, ObjectsDropped
from scaler.protocol.columns import MAX_FRAME_BYTES, REFERENCE
from scaler.protocol.inputs import Inputs, input_frames
from scaler.protocol.references import read_record
from scaler.storage.store import Place, Store
from scaler.worker.objects import Objects as WorkerObjects

OWNER = Incarnation(255)
LARGE = INLINE_BYTES + 1
BYTES, TEXT = b"b" * LARGE, "t" * LARGE


class Line:
    """Hears what is told of objects."""

    def __init__(self) -> None:
        self.told: list[ObjectMade | ObjectFreed] = []
        self.freed = FreedValues()

    def post(self, *events: ObjectMade | ObjectFreed) -> None:
        self.told += events

    def numbers(self, kind: type) -> list[int]:
        return [one.object.n for one in self.told if type(one) is kind]


class World:
    def __init__(self, folder: Path, limit_bytes: float = float("inf")) -> None:
        self.folder = folder
        self.store = Store([Place(folder / "store", limit_bytes, "in memory")])
        self.line = Line()
        self.objects = Objects(self.line, OWNER, lambda: self.store)

    def made(self) -> int:
        return len(self.line.numbers(ObjectMade))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("store/*") if path.name != "token")

    def pickled(self, *args: Any, **kwargs: Any) -> "tuple[bytes, tuple[Uploaded, ...]]":
        with Found() as found:
            return pickle_call(args, kwargs, self.objects.lift), found.take()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.remove()


def opened(data: bytes, needed: tuple[Uploaded, ...]) -> Any:
    """The call, as a worker has it."""
    frames = input_frames([list(range(len(needed)))], [one.outcome().frames for one in needed])
    return Opener(Inputs.from_frames(1, frames), WorkerObjects()).open(0, data)


def array(size: int = LARGE) -> "np.ndarray[Any, Any]":
    return np.arange(size, dtype="u1")


# ---- large arguments


def test_the_same_bytearray_in_several_places_of_a_call_is_one_there_too(world: World):
    value = bytearray(BYTES)
    data, needed = world.pickled(value, value, a=value)
    (first, second), keywords = opened(data, needed)
    assert first is second is keywords["a"]
    assert (len(needed), world.files()) == (1, ["00000000000000ff-1"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: BYTES,
        lambda: TEXT,
        lambda: bytearray(BYTES),
        array,
        lambda: array(4 * LARGE).reshape(4, -1).T,
        lambda: array(2 * LARGE)[::2],
        lambda: pa.py_buffer(BYTES),
    ],
    ids=["bytes", "text", "bytearray", "array", "fortran", "strided", "arrow"],
)
def test_a_large_argument_is_left_out_of_the_call_and_is_there_when_it_is_opened(world: World, make: Callable[[], Any]):
    value = make()
    data, needed = world.pickled(1, value, "x")
    assert len(data) < 500
    [one] = needed
    assert one.task == TaskId(BatchId(OWNER, 0), 1)
    first, found, last = opened(data, needed)
    assert (first, last, type(found)) == (1, "x", type(value))
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


def test_what_lies_in_containers_and_keywords_is_left_out_where_it_is_found(world: World):
    value = array()
    data, needed = world.pickled([{"deep": (value, 1)}], keyword=BYTES)
    assert len(data) < 500
    assert len(needed) == 2
    (found,), keywords = opened(data, needed)
    np.testing.assert_array_equal(found[0]["deep"][0], value)
    assert keywords == {"keyword": BYTES}


@pytest.mark.parametrize("value", [b"b" * INLINE_BYTES, "t" * INLINE_BYTES, array(INLINE_BYTES), [1] * LARGE, None])
def test_what_is_small_or_no_buffer_stays_in_the_call(world: World, value: Any):
    data, needed = world.pickled(value)
    assert (needed, world.line.told, world.files()) == ((), [], [])
    [found] = opened(data, needed)
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


def test_an_array_of_objects_stays_in_the_call(world: World):
    value = np.array([[1], "x"] * LARGE, dtype=object)
    _, needed = world.pickled(value)
    assert needed == ()


def test_a_value_cannot_be_written_to_where_it_is_opened(world: World):
    for value in (
        array(),
        array(2 * LARGE)[::2],
        array(5),
        array(10)[::2],
        np.asfortranarray(array(6).reshape(2, 3))[0],
    ):
        [found] = opened(*world.pickled(value))
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 1


@pytest.mark.parametrize("count", [6, 2 * LARGE])
@pytest.mark.parametrize("step", [1, 2])
def test_what_is_mapped_from_a_file_is_an_array_like_any(world: World, tmp_path: Path, count: int, step: int):
    values = np.memmap(tmp_path / "values", dtype="u1", mode="w+", shape=(count,))
    values[:] = np.arange(count) % 251
    data, needed = world.pickled(values[::step], [values])
    assert len({one.task for one in needed}) == (0 if count == 6 else step)
    found, [whole] = opened(data, needed)
    for one, expected in ((found, values[::step]), (whole, values)):
        assert type(one) is np.ndarray
        np.testing.assert_array_equal(one, expected)
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 1
    values[0] = 7
    [found] = opened(*world.pickled(values))
    assert found[0] == 7


def test_the_same_value_is_one_object_in_one_call_and_in_many(world: World):
    value = array()
    data, needed = world.pickled(value, [value])
    assert len(needed) == 1
    found, [same] = opened(data, needed)
    assert found is same
    again = [world.pickled(value)[1] for _ in range(3)]
    assert (world.made(), len({one.task for [one] in [needed, *again]})) == (1, 1)


def test_large_bytes_are_recognised_without_being_read(world: World):
    value = bytes(EQUAL_BYTES + 1)
    kept = [world.pickled(value)[1] for _ in range(3)]
    assert world.made() == 1
    kept.append(world.pickled(bytes(bytearray(value)))[1])
    assert world.made() == 2


def test_a_value_that_has_changed_since_is_another_object(world: World):
    value = np.zeros(EQUAL_BYTES + 1, dtype="u1")
    before = world.pickled(value)
    value[-1] = 7
    after = world.pickled(value)
    assert world.made() == 2
    assert opened(*before)[0][-1] == 0
    assert opened(*after)[0][-1] == 7
    assert world.pickled(value)[1][0].task == after[1][0].task


def test_equal_contents_are_one_object_up_to_a_size(world: World):
    kept = [world.pickled(bytes(bytearray(BYTES)))[1] for _ in range(3)]
    kept += [world.pickled(array())[1] for _ in range(3)]
    kept += [world.pickled(array().view("i1"))[1]]
    assert world.made() == 3
    assert len(kept) == 7


def test_buffers_of_arrow_are_recognised_by_where_they_lie(world: World):
    table = pa.table({"a": np.arange(EQUAL_BYTES)})
    kept = [world.pickled([table])[1] for _ in range(3)]
    assert world.made() == 1
    assert len({one.task for [one] in kept}) == 1


def test_an_array_is_not_kept_by_what_was_made_of_it(world: World):
    value = np.zeros(EQUAL_BYTES + 1, dtype="u1")
    seen = weakref.ref(value)
    kept = world.pickled(value)[1]
    del value
    gc.collect()
    assert seen() is None
    others = [world.pickled(np.zeros(EQUAL_BYTES + 1, dtype="u1"))[1] for _ in range(3)]
    assert world.made() == 4
    assert len(kept) + len(others) == 4


# ---- as long as somebody needs them


def test_an_object_goes_with_the_last_who_needs_it(world: World):
    value = array()
    data, needed = world.pickled(value)
    assert world.files() == ["00000000000000ff-1"]
    outcome = needed[0].outcome()
    assert outcome.status == REFERENCE
    del needed
    gc.collect()
    assert (world.files(), world.line.numbers(ObjectFreed)) == (["00000000000000ff-1"], [])
    del outcome
    gc.collect()
    assert (world.files(), world.line.numbers(ObjectFreed)) == ([], [1])
    assert len(data) < 500
    kept = world.pickled(value)[1]
    assert (world.line.numbers(ObjectMade), len(kept)) == ([1, 2], 1)


def test_where_a_value_has_no_room_that_is_told_and_nothing_is_left(tmp_path: Path):
    world = World(tmp_path, LARGE * 2)
    kept = world.pickled(BYTES)[1]
    for _ in range(2):
        with pytest.raises(StoreFullError, match="there is no room for a value of"):
            world.pickled([array()])
    assert (world.made(), len(kept), world.files()) == (1, 1, ["00000000000000ff-1"])
    del kept
    gc.collect()
    assert len(world.pickled([array()])[1]) == 1
    world.store.remove()


# ---- what users send


def test_what_is_sent_is_named_and_stands_for_its_value_anywhere_among_arguments(world: World):
    reference = world.objects.send(value := array(), None)
    assert isinstance(reference, ObjectReference)
    assert (reference.name, reference.object_id) == ("ndarray-1", "00000000000000ff-1")
    assert LARGE <= reference.size < LARGE + 500
    data, needed = world.pickled([{"x": reference}], reference, k=reference)
    assert len(needed) == 1
    ([held], found), keywords = opened(data, needed)
    assert found is held["x"] is keywords["k"]
    np.testing.assert_array_equal(found, value)
    assert world.objects.send(1, "mine").name == "mine"


def test_a_small_value_goes_in_each_call(world: World):
    reference = world.objects.send({"a": 1}, "small")
    data, needed = world.pickled([reference])
    assert (needed, world.files()) == ((), [])
    assert opened(data, needed) == ([{"a": 1}],)


def test_after_a_clear_it_is_missing(world: World):
    references = [world.objects.send(value, f"value {n}") for n, value in enumerate((1, BYTES))]
    world.objects.clear()
    gc.collect()
    assert world.files() == []
    for n, reference in enumerate(references):
        with pytest.raises(MissingObjects, match=rf"'value {n}' was dropped by clear\(\): send it again"):
            world.pickled([reference])


def test_one_that_was_dropped_says_so(world: World):
    for value in (1, BYTES):
        reference = world.objects.send(value, "mine")
        reference.drop()
        reference.drop()
        world.objects.clear()
        with pytest.raises(MissingObjects, match=r"^the object 'mine' was dropped by drop\(\): send it again$"):
            reference.value()
    gc.collect()
    assert world.files() == []


def test_one_whose_file_is_gone_says_what_to_do(world: World):
    reference = world.objects.send(BYTES, "mine")
    world.store.remove()
    with pytest.raises(ObjectLostError, match=r"^'mine', object 00000000000000ff-1 is not .*: send it again$"):
        reference.value()


def test_a_name_is_a_text(world: World):
    with pytest.raises(TypeError, match=r"^the name of an object is a str, not 3$"):
        world.objects.send(1, 3)  # type: ignore[arg-type]  # what somebody may do


@pytest.mark.parametrize("value", [1, BYTES])
@pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_reference_is_pickled_among_arguments_alone(world: World, value: Any, attempt: Callable[[Any], Any]):
    with pytest.raises(TypeError, match=r"^the object 'mine' can only be an argument of a call: .*value\(\)"):
        attempt(world.objects.send(value, "mine"))


def test_a_reference_cannot_be_sent_or_be_in_a_function(world: World):
    reference = world.objects.send(BYTES, "mine")
    with pytest.raises(
        SerializationError, match=r"the object cannot be sent: the object\[0\]: the object 'mine' can only"
    ):
        world.objects.send([reference], None)
    with pytest.raises(SerializationError, match=r"'s variable reference: the object 'mine' can only be an argument"):
        pickle_function(lambda: reference)


# ---- what other hosts ask for


def test_pieces_are_those_of_the_file(world: World):
    reference = world.objects.send(bytes(2 * MAX_FRAME_BYTES), None)
    name = ObjectId(OWNER, 1)
    [uploaded] = world.pickled(reference)[1]
    record = read_record(uploaded.outcome().frames[0])
    content = Path(record.path).read_bytes()
    said = world.objects.answer(FetchChunks(name, 0, 5))
    assert [one.message for one in said] == [ObjectChunk(name, n, len(content)) for n in range(3)]
    assert b"".join(b"".join(map(bytes, one.frames)) for one in said) == content
    assert world.objects.answer(FetchChunks(name, 2, 1)) == said[2:]


def test_of_what_is_gone_or_was_never_there_it_is_told(world: World):
    for name in (ObjectId(OWNER, 1), ObjectId(Incarnation(1), 1)):
        assert world.objects.answer(FetchChunks(name, 0, 1)) == [Say(ObjectsDropped((name,)))]
