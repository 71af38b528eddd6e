from array import array

import pytest

from scaler.core.chunks import JOINED_BYTES, SMALL_BYTES, ChunkStore, check_offsets
from scaler.errors import ProtocolError
from scaler.protocol.columns import MAX_FRAME_BYTES, ArgumentColumn
from tests.unit.core.examples import arguments, large

ROOM = 1 << 30


def store(*columns: ArgumentColumn) -> ChunkStore:
    made = ChunkStore()
    for column in columns:
        made.add(column)
    return made


def test_small_neighbours_are_laid_together():
    made = store(*(arguments(index, index + 1) for index in range(10)))
    assert made.live() == [(0, 10, 10)]
    assert made.slice(0, 10, ROOM) == arguments(0, 10)
    assert made.slice(3, 5, ROOM) == arguments(3, 5)


def test_a_chunk_that_was_sliced_grows_as_a_copy():
    made = store(arguments(0, 1), arguments(1, 2))
    first = made.slice(0, 2, ROOM)
    made.add(arguments(2, 3))
    assert made.live() == [(0, 3, 3)]
    assert first == arguments(0, 2)
    assert made.slice(0, 3, ROOM) == arguments(0, 3)


def test_a_chunk_that_is_large_or_apart_stays_alone():
    big = large(1, SMALL_BYTES)
    made = store(arguments(0, 1), big, arguments(2, 3), arguments(9, 10))
    assert made.live() == [(0, 1, 1), (1, 2, 1), (2, 3, 1), (9, 10, 1)]


def test_chunks_are_laid_together_up_to_a_limit():
    number = 2 * JOINED_BYTES // 1000
    made = store(*(large(index, 1000) for index in range(number)))
    assert [hi - lo for lo, hi, _ in made.live()] == [66, 65]


def test_a_frame_beyond_the_limit_is_refused():
    made = ChunkStore()
    with pytest.raises(ProtocolError, match="a frame of more than"):
        made.add(large(0, MAX_FRAME_BYTES + 1))
    assert made.live() == []


def test_a_slice_ends_with_its_chunk_and_with_the_room_but_is_never_empty():
    made = store(arguments(0, 2000), arguments(2000, 4000))
    assert made.slice(1998, 2005, ROOM) == arguments(1998, 2000)
    assert made.slice(10, 2000, 40) == arguments(10, 20)
    assert made.slice(10, 2000, 43) == arguments(10, 20)
    assert made.slice(10, 2000, 0) == made.slice(10, 2000, -5) == arguments(10, 11)
    assert made.slice(1999, 2000, 40) == arguments(1999, 2000)
    assert made.slice(4000, 4001, ROOM) is None
    assert ChunkStore().slice(0, 1, ROOM) is None


def test_a_call_in_several_frames_goes_whole():
    column = ArgumentColumn(0, 1, array("Q", (0, 20)).tobytes(), (bytes(10), bytes(10)))
    made = store(column)
    assert made.slice(0, 1, 5) is column


def test_a_small_call_in_several_frames_is_laid_together_whole():
    column = ArgumentColumn(0, 1, array("Q", (0, 4)).tobytes(), (b"00", b"00"))
    made = store(column, arguments(1, 2))
    assert made.slice(0, 2, ROOM) == arguments(0, 2)


def test_calls_that_run_backwards_are_refused():
    check_offsets(arguments(0, 5))
    check_offsets(large(0, 0))
    backwards = ArgumentColumn(7, 2, array("Q", (100, 120, 110)).tobytes(), (bytes(10),))
    with pytest.raises(ProtocolError, match="calls 7 to 9 run backwards"):
        check_offsets(backwards)


def test_what_is_missing_of_a_range():
    made = store(arguments(2, 4), arguments(6, 8))
    assert made.missing(0, 10) == [(0, 2), (4, 6), (8, 10)]
    assert made.missing(3, 7) == [(4, 6)]
    assert made.missing(2, 4) == []
    assert ChunkStore().missing(1, 3) == [(1, 3)]


def test_a_chunk_goes_when_none_of_its_tasks_is_left():
    made = store(arguments(0, 2000), arguments(2000, 4000), arguments(4000, 6000))
    made.release(1990, 2010)
    assert made.live() == [(0, 2000, 1990), (2000, 4000, 1990), (4000, 6000, 2000)]
    made.release(2010, 4000)
    assert made.live() == [(0, 2000, 1990), (4000, 6000, 2000)]
    made.release(2500, 3000)
    made.release(7000, 8000)
    assert made.live() == [(0, 2000, 1990), (4000, 6000, 2000)]


def test_a_chunk_that_is_still_here_is_kept_for_tasks_that_run_again():
    made = store(arguments(0, 2000), arguments(2000, 4000))
    made.release(0, 2100)
    made.retain(1900, 2100)
    assert made.live() == [(2000, 4000, 2000)]
    assert made.missing(1900, 2100) == [(1900, 2000)]
