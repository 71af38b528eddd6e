"""How values lie in files: every part is found again, at a place that suits it, and damage is told."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.protocol.layout import ALIGNMENT, file_bytes, laid_out, parts_in, parts_size


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_all_parts_are_found_again_each_at_a_multiple_of_the_alignment(parts: list[bytes]):
    pieces = laid_out(parts)
    content = b"".join(pieces)
    assert file_bytes(pieces) == len(content)
    assert parts_size(parts) == sum(map(len, parts))
    found = parts_in(content)
    assert [bytes(part) for part in found] == parts
    whole = memoryview(content)
    at = {bytes(part): offset for part in parts if (offset := content.find(part)) >= 0}
    assert len(whole) % ALIGNMENT == 0
    assert all(len(part) < 20 or at[part] % ALIGNMENT == 0 for part in parts if content.count(part) == 1)


def test_a_part_may_have_words_of_any_size():
    words = memoryview(struct.pack("<3d", 1, 2, 3)).cast("d")
    assert parts_size([words]) == 24
    [found] = parts_in(b"".join(bytes(piece) for piece in laid_out([words])))
    assert found == words.cast("B")


def test_what_is_no_value_or_not_all_of_it_is_told():
    whole = b"".join(laid_out([b"pickle", bytes(1000)]))
    for damaged, words in (
        (b"", "0 bytes are no value"),
        (b"\x80\x05" + whole[2:], "no value"),
        (whole[:8], "no value"),
        (whole[:20], "no room for 2 parts"),
        (whole[:8] + struct.pack("<Q", 1 << 60) + whole[16:], "no room for"),
        (whole[:500], "ends behind 500 bytes"),
    ):
        with pytest.raises(ValueError, match=words):
            parts_in(damaged)
