"""What calls need of others comes back as it went, and what does not fit is refused."""

import random
from struct import pack

import pytest

from scaler.errors import ProtocolError
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol import inputs as module
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame
from scaler.protocol.inputs import (
    MAX_INPUTS,
    Inputs,
    dependency_frames,
    input_frames,
    read_dependencies,
    split_off,
)

A, B = BatchId(Incarnation(2**64 - 1), 1), BatchId(Incarnation(5), 2**63)
FIRST, SECOND, THIRD = TaskId(A, 0), TaskId(A, 2**40), TaskId(B, 7)


def numbers(*words: int) -> bytes:
    return pack(f"<{len(words)}Q", *words)


# ---- names of tasks


def test_dependencies_come_back_as_they_went():
    dependencies = {5: (FIRST,), 7: (SECOND, THIRD, SECOND), 9: (THIRD,)}
    frames = dependency_frames(4, 9, dependencies)
    assert read_dependencies(4, 5, frames) == {5: (FIRST,), 7: (SECOND, THIRD, SECOND)}
    assert frames == (numbers(0, 1, 0, 3, 0, *A, 0, *A, 2**40, *B, 7, *A, 2**40),)


def test_calls_without_dependencies_take_nothing():
    assert dependency_frames(0, 5, {5: (FIRST,)}) == ()
    assert dependency_frames(0, 5, {1: ()}) == ()


def test_many_dependencies_come_in_several_frames():
    needed = tuple(TaskId(A, index) for index in range(100_000))
    frames = dependency_frames(0, 1, {0: needed})
    assert [len(frame) for frame in frames] == [MAX_FRAME_BYTES, MAX_FRAME_BYTES, 302_856]
    assert read_dependencies(0, 1, frames) == {0: needed}
    assert read_dependencies(0, 1, (memoryview(b"".join(frames)),)) == {0: needed}


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (b"",),
        (numbers(0),),
        (numbers(1, 0),),
        (numbers(0, 0, *A, 0),),
        (numbers(1, 1, *A, 0, *A),),
        (numbers(2**64 - 1, 1),),
        (numbers(1, 0, *A, 0)[:-1],),
        (numbers(1, 0), numbers(*A)),
    ],
)
def test_dependencies_that_do_not_fit_are_refused(frames: tuple[Frame, ...]):
    with pytest.raises(ProtocolError, match=r"no dependencies of 2 calls|a column of 64-bit words has"):
        read_dependencies(0, 2, frames)


def test_more_dependencies_than_a_message_may_name_are_refused_unread():
    frame = bytes(MAX_FRAME_BYTES)
    frames = (frame,) * (3 * 8 * MAX_INPUTS // MAX_FRAME_BYTES + 2)
    with pytest.raises(ProtocolError, match="bytes of dependencies are more than"):
        read_dependencies(0, 1, frames)


def test_as_many_as_a_call_may_need_fit_a_message(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_DEPENDENCY_BYTES", 3 * 8 * 10 + MAX_FRAME_BYTES)
    needed = tuple(TaskId(A, index) for index in range(10))
    count = MAX_FRAME_BYTES // 8 - 1
    assert read_dependencies(0, count, dependency_frames(0, count, {3: needed})) == {3: needed}


# ---- their values


def read(count: int, frames: tuple[Frame, ...]) -> tuple[list[list[int]], list[bytes]]:
    inputs = Inputs.from_frames(count, frames)
    return inputs.needs, list(map(bytes, inputs.values))


def test_inputs_come_back_as_they_went():
    needs = [[0, 1, 0], [], [2]]
    frames = input_frames(needs, [(b"zero",), (b"", b"on", b"e"), (b"",)])
    assert frames == (numbers(3, 4, 7, 7, 3, 0, 1, 0, 1, 0, 2) + b"zeroone",)
    assert read(3, frames) == (needs, [b"zero", b"one", b""])
    assert read(3, (frames[0][:9], memoryview(frames[0])[9:])) == (needs, [b"zero", b"one", b""])


def test_large_inputs_come_in_several_frames():
    value = bytes(range(256)) * (1 << 13)
    frames = input_frames([[0]], [(value[: 1 << 20], value[1 << 20 :])])
    assert [len(frame) for frame in frames] == [MAX_FRAME_BYTES, MAX_FRAME_BYTES, 32]
    assert read(1, frames) == ([[0]], [value])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        numbers(2, 1, 1)[:-1] + b"v",
        numbers(1),
        numbers(1, 1),
        numbers(2**64 - 1, 1, 0) + b"v",
        numbers(1, 1, 1) + b"v",
        numbers(1, 1, 2**63) + b"v",
        numbers(1, 1, 1, 1) + b"v",
        numbers(1, 1, 1, 2**64 - 1) + b"v",
        numbers(1, 2, 1, 0) + b"v",
        numbers(1, 0, 1, 0) + b"v",
        numbers(2, 2, 1, 1, 0) + b"v",
        numbers(0, 1, 0) + b"v",
        numbers(0, 0) + b"v",
    ],
)
def test_inputs_that_do_not_fit_are_refused(content: bytes):
    with pytest.raises(ProtocolError):
        Inputs(1, content)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_nothing_else_is_raised(seed: int):
    chance = random.Random(seed)
    frame = bytearray(input_frames([[0, 1], [1]], [(b"zero",), (b"one",)])[0])
    for _ in range(200):
        garbled = bytearray(frame)
        for _ in range(chance.randrange(1, 4)):
            garbled[chance.randrange(len(garbled))] = chance.randrange(256)
        content = bytes(garbled[: chance.choice((len(garbled), chance.randrange(len(garbled))))])
        try:
            inputs = Inputs(2, content)
        except ProtocolError:
            continue
        assert all(position < len(inputs.values) for need in inputs.needs for position in need)
        inputs.slice(0, 2)


def test_a_slice_has_only_what_its_calls_need():
    inputs = Inputs.from_frames(4, input_frames([[2, 1], [], [1, 2, 1], [0]], [(b"zero",), (b"one",), (b"two",)]))
    assert read(2, inputs.slice(2, 4)) == ([[0, 1, 0], [2]], [b"one", b"two", b"zero"])
    assert read(4, inputs.slice(0, 4)) == ([[0, 1], [], [1, 0, 1], [2]], [b"two", b"one", b"zero"])
    assert inputs.slice(1, 2) == ()


def test_the_size_of_a_slice_counts_each_value_once_and_all_that_names_it():
    inputs = Inputs.from_frames(3, input_frames([[0, 1], [1, 0], []], [(bytes(100),), (bytes(10),)]))
    assert (inputs.size_bytes(0, 1), inputs.size_bytes(0, 2), inputs.size_bytes(2, 3)) == (126, 142, 0)


# ---- behind a column


def test_what_lies_behind_a_column_is_split_off():
    assert split_off((b"1", b"2", b"3"), 0) == ((b"1", b"2", b"3"), ())
    assert split_off((b"1", b"2", b"3"), 1) == ((b"1", b"2"), (b"3",))
    with pytest.raises(ProtocolError, match="1 frames, of which 2 lie behind the others"):
        split_off((b"1",), 2)
