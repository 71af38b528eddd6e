"""Rows: what goes into cells comes out of them, and whatever was changed in between is seen."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.durable.rows import MAX_ROW_BYTES, Cells, DamagedRow, Row, checksum, decoded, encoded, fault

MEBIBYTE = 1 << 20
numbers = st.integers(-(1 << 63), (1 << 63) - 1)
frames = st.lists(st.one_of(st.binary(max_size=50), st.binary(max_size=50).map(memoryview)), max_size=8).map(tuple)
rows = st.builds(Row, numbers, numbers, numbers, numbers, st.binary(max_size=50), frames)
ROW = Row(1, 2, 3, 4, b"header", (b"one", b"", b"three"))


def as_read(cells: Cells) -> list[object]:
    """A table gives bytes, whatever it was given."""
    return [bytes(cell) if isinstance(cell, memoryview) else cell for cell in cells]


@given(numbers, rows)
def test_a_row_comes_back_as_it_was(seq: int, row: Row):
    assert decoded(as_read(encoded(seq, row))) == row


@given(numbers, rows, st.data())
def test_a_bit_that_is_not_as_it_was_is_seen(seq: int, row: Row, data: st.DataObject):
    cells = as_read(encoded(seq, row))
    place = data.draw(st.sampled_from([n for n, cell in enumerate(cells) if isinstance(cell, int) or cell]))
    cell = cells[place]
    if isinstance(cell, int):
        cells[place] = cell ^ 1 << data.draw(st.integers(0, 62))
    else:
        assert isinstance(cell, bytes)
        changed = bytearray(cell)
        changed[data.draw(st.integers(0, len(cell) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        cells[place] = bytes(changed)
    assert decoded(cells) == DamagedRow(*cells[:5])  # type: ignore[arg-type]  # numbers all of them


@given(rows, rows)
def test_rows_that_differ_have_other_checksums(one: Row, other: Row):
    assert (one == other) is (checksum(1, one) == checksum(1, other))


@given(numbers, rows)
def test_the_same_row_in_another_place_is_another(seq: int, row: Row):
    assert checksum(seq, row) != checksum(seq ^ 1, row)


@pytest.mark.parametrize(
    "other",
    [
        ROW._replace(frames=(b"onet", b"", b"hree")),
        ROW._replace(frames=(b"one", b"three")),
        ROW._replace(frames=(b"one", b"", b"three", b"")),
        ROW._replace(header=b"headero", frames=(b"ne", b"", b"three")),
        ROW._replace(header=b"heade", frames=(b"rone", b"", b"three")),
    ],
)
def test_how_bytes_are_cut_counts(other: Row):
    assert checksum(1, other) != checksum(1, ROW)


@pytest.mark.parametrize(
    "many",
    [(), (b"",), (b"", b""), tuple(b"%d" % n for n in range(10_000)), (bytes(MEBIBYTE),), (bytes(MEBIBYTE), b"x") * 3],
)
def test_frames_of_any_size_and_number_come_back(many: tuple[bytes, ...]):
    row = ROW._replace(frames=many)
    assert decoded(as_read(encoded(1, row))) == row


def test_frames_that_are_read_share_the_bytes_of_one_cell_and_a_single_one_is_not_copied():
    frame = bytes(MEBIBYTE)
    assert encoded(1, ROW._replace(frames=(frame,))).data is frame
    cells = encoded(1, ROW._replace(frames=(frame, b"1")))
    found = decoded(cells)
    assert isinstance(found, Row)
    assert [frame.obj is cells.data for frame in found.frames if isinstance(frame, memoryview)] == [True, True]


def test_frames_of_words_are_counted_in_bytes():
    words = memoryview(bytes(range(16))).cast("Q")
    row = ROW._replace(frames=(words, b"x"))
    assert row.size_bytes == ROW._replace(frames=(bytes(16), b"x")).size_bytes
    assert decoded(as_read(encoded(1, row))) == ROW._replace(frames=(bytes(range(16)), b"x"))


@pytest.mark.parametrize("wrong", [None, 1.5, b"7"])
def test_numbers_that_are_none_are_not_told(wrong: object):
    cells = as_read(encoded(9, ROW))
    cells[2] = wrong
    assert decoded(cells) == DamagedRow(9, 1, None, 3, 4)


@pytest.mark.parametrize("sizes", [b"1234567", (5).to_bytes(8, "little"), b""])
def test_sizes_that_do_not_fit_their_data_are_damage_whatever_the_checksum_says(sizes: bytes):
    cells = encoded(1, Row(1, 2, 3, 4, b"", (b"four",)))
    numbers = b"".join(n.to_bytes(8, "little") for n in (1, 1, 2, 3, 4, 0, len(sizes)))
    crc = zlib.crc32(b"four", zlib.crc32(sizes, zlib.crc32(numbers)))
    assert decoded(cells._replace(sizes=sizes, crc=crc)) == DamagedRow(1, 1, 2, 3, 4)


def test_what_no_file_can_hold_is_told_before():
    assert fault(ROW) == ""
    assert fault(ROW._replace(batch=1 << 63)) == "a row has a number of more than 63 bits"
    assert f"is larger than {MAX_ROW_BYTES}" in fault(ROW._replace(frames=(memoryview(bytes(MEBIBYTE)),) * 900))
