"""Columns: sizes of what a peer sent are checked, slices share bytes and count nothing anew."""

from itertools import accumulate
from struct import pack

import pytest

from scaler.errors import ProtocolError
from scaler.protocol.columns import (
    FAILED,
    MAX_FRAME_BYTES,
    RAISED,
    REFERENCE,
    VALUE,
    ArgumentColumn,
    Frame,
    ResultColumn,
    frames_of,
    words,
)

CALLS = [b"a", b"", b"ccc", b"dd"]
STATUSES = [VALUE, RAISED, REFERENCE, FAILED]


def ends(base: int, values: list[bytes]) -> bytes:
    return pack(f"<{len(values)}Q", *[base + end for end in accumulate(map(len, values))])


def arguments(lo: int = 5, base: int = 100, calls: list[bytes] = CALLS) -> ArgumentColumn:
    return ArgumentColumn(lo, len(calls), pack("<Q", base) + ends(base, calls), (b"".join(calls),))


def results(costs: bytes = bytes(range(32))) -> ResultColumn:
    return ResultColumn(
        lo=5,
        count=4,
        base=100,
        statuses=bytes(STATUSES),
        run_us=pack("<4I", 10, 20, 30, 40),
        ends=ends(100, CALLS),
        costs=costs,
        data=(b"".join(CALLS),),
    )


def test_words_are_read_without_a_copy():
    frame = pack("<2Q", 7, 2**64 - 1)
    assert list(words(frame)) == [7, 2**64 - 1]
    assert list(words(memoryview(frame)[8:])) == [2**64 - 1]
    with pytest.raises(ProtocolError, match="a column of 64-bit words has 9 bytes"):
        words(bytes(9))


def test_what_is_too_large_for_a_frame_is_cut_and_not_copied():
    assert frames_of(b"small") == (b"small",)
    assert frames_of(b"") == (b"",)
    data = bytes(2 * MAX_FRAME_BYTES + 1)
    frames = frames_of(data)
    assert b"".join(frames) == data
    assert all(isinstance(frame, memoryview) and frame.obj is data for frame in frames)
    assert [len(frame) for frame in frames] == [MAX_FRAME_BYTES, MAX_FRAME_BYTES, 1]


# ---- arguments


def test_a_column_of_arguments_comes_back_as_it_went():
    column = arguments()
    assert (column.lo, column.hi, column.size_bytes) == (5, 9, 5 * 8 + 6)
    assert ArgumentColumn.from_frames(5, 4, column.frames()) == column


def test_a_slice_of_arguments_is_a_column_of_its_own():
    column = arguments()
    assert column.slice(5, 9) is column
    part = column.slice(6, 8)
    assert ArgumentColumn.from_frames(6, 2, part.frames()) == part
    assert (part.lo, part.hi, bytes(part.data[0])) == (6, 8, b"ccc")
    assert list(words(part.offsets)) == [101, 101, 104]
    assert part.slice(7, 8) == column.slice(7, 8)


def test_one_large_call_may_come_in_several_frames():
    column = ArgumentColumn(0, 1, pack("<2Q", 0, 4), (b"ab", b"cd"))
    assert ArgumentColumn.from_frames(0, 1, column.frames()) == column


@pytest.mark.parametrize(
    ("count", "frames"),
    [
        (0, (pack("<Q", 0), b"")),
        (1, (pack("<2Q", 0, 0),)),
        (2, (pack("<2Q", 0, 1), b"a")),
        (1, (pack("<2Q", 0, 2), b"a")),
        (1, (pack("<2Q", 2, 0), b"a")),
        (2, (pack("<3Q", 0, 1, 2), b"a", b"b")),
    ],
)
def test_arguments_whose_sizes_do_not_agree_are_refused(count: int, frames: tuple[Frame, ...]):
    with pytest.raises(ProtocolError, match=f"{count} calls"):
        ArgumentColumn.from_frames(0, count, frames)


# ---- results


@pytest.mark.parametrize("costs", [b"", bytes(range(32))])
def test_a_column_of_results_comes_back_as_it_went(costs: bytes):
    column = results(costs)
    assert (column.hi, column.size_bytes) == (9, 4 * 8 + 6)
    assert ResultColumn.from_frames(5, 9, 100, column.frames()) == column


@pytest.mark.parametrize("costs", [b"", bytes(range(32))])
def test_a_slice_of_results_is_a_column_of_its_own(costs: bytes):
    column = results(costs)
    assert column.slice(5, 9) is column
    for lo, hi, data in ((5, 7, b"a"), (7, 9, b"cccdd"), (6, 7, b"")):
        part = column.slice(lo, hi)
        assert ResultColumn.from_frames(lo, hi, part.base, part.frames()) == part
        assert bytes(part.data[0]) == data
        assert bytes(part.statuses) == bytes(STATUSES[lo - 5 : hi - 5])
        assert bytes(part.costs) == costs[8 * (lo - 5) : 8 * (hi - 5)]


def test_one_of_many_does_not_keep_the_others():
    assert results().one(7) == (REFERENCE, (b"ccc",))
    assert type(results().slice(7, 9).one(7)[1][0]) is bytes
    large = ResultColumn(3, 1, 0, bytes([RAISED]), bytes(4), ends(0, [b"ab"]), b"", (b"a", b"b"))
    assert large.one(3) == (RAISED, (b"a", b"b"))


def test_the_unsuccessful_are_found():
    assert results().unsuccessful() == [6, 8]
    assert results().slice(5, 6).unsuccessful() == []
    assert results().slice(7, 8).unsuccessful() == []


@pytest.mark.parametrize(
    ("hi", "changed"),
    [
        (5, {}),
        (8, {}),
        (9, {0: bytes(3)}),
        (9, {1: bytes(15)}),
        (9, {2: bytes(31)}),
        (9, {3: bytes(31)}),
        (9, {4: b"too long"}),
        (9, {4: b""}),
    ],
)
def test_results_whose_sizes_do_not_agree_are_refused(hi: int, changed: dict[int, bytes]):
    frames = [changed.get(number, frame) for number, frame in enumerate(results().frames())]
    with pytest.raises(ProtocolError, match=f"{hi - 5} results"):
        ResultColumn.from_frames(5, hi, 100, frames)


def test_results_without_a_frame_of_data_or_with_one_too_many_are_refused():
    for frames in (results().frames()[:4], (*results().frames()[:4], b"accc", b"dd")):
        with pytest.raises(ProtocolError, match="4 results"):
            ResultColumn.from_frames(5, 9, 100, frames)
