import os
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.protocol.columns import RAISED, VALUE, words
from scaler.worker.board import COMMITTED, ENTRIES, RING_BYTES, TAKEN, Board, SlotBoard, make_board_file, parts, word
from scaler.worker.ring import IN_FILE, MAX_INLINE_BYTES, POKE_AGE_NS, POKE_BYTES, Entries, RingReader, RingWriter


class Ring:
    """Both sides of one ring, in one process."""

    def __init__(self, slot: SlotBoard) -> None:
        self.slot = slot
        self.pokes = 0
        self.files: list[tuple[int, bytes]] = []
        self.writer = RingWriter(slot, self._poke, lambda who, value: self.files.append((who, value)))
        self.reader = RingReader(slot)
        self.taken: list[Entries] = []

    def _poke(self) -> None:
        """A cluster that harvests whenever it is called."""
        self.pokes += 1
        self.taken += self.reader.take()

    def commit(self, ticket: int, offset: int, value: bytes, status: int = VALUE, run_us: int = 0) -> None:
        self.writer.commit(word(ticket, offset), status, value, run_us, 0)

    def results(self) -> list[tuple[int, int, int, bytes]]:
        """Ticket, offset, status and value of everything harvested."""
        found = []
        for entries in self.taken:
            ends = [entries.base, *words(entries.ends)]
            for number, (start, end) in enumerate(pairwise(ends)):
                value = entries.data[start - entries.base : end - entries.base]
                found.append((entries.ticket, entries.offset + number, entries.statuses[number], value))
        return found


@pytest.fixture
def ring() -> Iterator[Ring]:
    descriptor = make_board_file(2)
    board = Board(descriptor, 2)
    os.close(descriptor)
    yield Ring(board.slots[1])
    board.close()


def test_a_word_holds_a_ticket_and_an_offset():
    assert parts(word(0xFFFFFFFF, 0xFFFFFFFF)) == (0xFFFFFFFF, 0xFFFFFFFF)


def test_neighbours_of_one_ticket_are_harvested_as_one_piece(ring: Ring):
    for ticket, offset in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (4, 7)]:
        ring.commit(ticket, offset, b"%d.%d" % (ticket, offset))
    ring.taken = ring.reader.take()
    assert [(one.ticket, one.offset, one.count, one.data) for one in ring.taken] == [
        (1, 0, 3, b"1.01.11.2"),
        (2, 0, 2, b"2.02.1"),
        (4, 7, 1, b"4.7"),
    ]
    assert not ring.reader.has_more()
    assert ring.reader.take() == []


def test_an_entry_counts_once_the_commit_word_says_so(ring: Ring):
    ring.commit(1, 0, b"a")
    ring.slot.words[COMMITTED] = 0
    assert ring.reader.take() == []
    ring.slot.words[COMMITTED] = 1
    assert ring.reader.has_more()
    assert [one.data for one in ring.reader.take()] == [b"a"]


def test_a_status_and_costs_are_told_once_and_not_of_the_next_entry_in_that_place(ring: Ring):
    for offset in range(ENTRIES):
        is_first = offset == 0
        ring.commit(1, offset, b"", RAISED if is_first else VALUE, run_us=1000 if is_first else 0)
    (first,) = ring.reader.take()
    assert first.statuses == bytes([RAISED]) + bytes(ENTRIES - 1)
    assert len(first.costs) == 8 * ENTRIES
    assert first.costs[8:] == bytes(8 * ENTRIES - 8)
    ring.commit(2, 0, b"")
    (second,) = ring.reader.take()
    assert (second.statuses, second.costs, second.run_us) == (bytes(1), b"", bytes(4))


def test_a_run_time_beyond_the_column_is_told_as_the_longest(ring: Ring):
    ring.commit(1, 0, b"", run_us=1 << 40)
    assert ring.reader.take()[0].run_us == b"\xff" * 4


def test_a_value_that_crosses_the_end_of_the_ring_is_joined(ring: Ring):
    value = bytes(range(256)) * (MAX_INLINE_BYTES // 256)
    calls = [(1, offset, value[offset:]) for offset in range(9)]
    for call in calls:
        ring.commit(*call)
        ring.taken += ring.reader.take()
    assert ring.results() == [(ticket, offset, VALUE, data) for ticket, offset, data in calls]


def test_a_value_too_large_for_the_ring_goes_ahead_in_a_file_and_its_entry_is_alone(ring: Ring):
    ring.commit(1, 0, b"a")
    ring.commit(1, 1, bytes(MAX_INLINE_BYTES + 1))
    ring.commit(1, 2, bytes(MAX_INLINE_BYTES + 2), RAISED)
    ring.commit(1, 3, b"b")
    assert [(parts(who), len(value)) for who, value in ring.files] == [
        ((1, 1), MAX_INLINE_BYTES + 1),
        ((1, 2), MAX_INLINE_BYTES + 2),
    ]
    assert [(one.offset, one.statuses, one.data, one.is_in_file) for one in ring.reader.take()] == [
        (0, bytes([VALUE]), b"a", False),
        (1, bytes([VALUE]), b"", True),
        (2, bytes([RAISED]), b"", True),
        (3, bytes([VALUE]), b"b", False),
    ]
    assert bytes([IN_FILE]) not in bytes(ring.slot.statuses)


def test_a_full_ring_calls_the_cluster_and_waits_until_there_is_room(ring: Ring):
    ring.writer.hold_poke()
    for offset in range(ENTRIES):
        ring.commit(1, offset, b"")
    assert ring.pokes == 0
    ring.commit(1, ENTRIES, b"")
    assert (ring.pokes, ring.slot.words[TAKEN]) == (1, ENTRIES)


def test_the_cluster_is_called_by_size_and_by_age(ring: Ring):
    ring.writer.hold_poke()
    ring.commit(1, 0, bytes(POKE_BYTES))
    assert ring.pokes == 0
    ring.commit(1, 1, b"x")
    assert ring.pokes == 1
    ring.writer.commit(word(1, 2), VALUE, b"", 0, 1 << 62)
    ring.writer.commit(word(1, 3), VALUE, b"", 0, (1 << 62) + POKE_AGE_NS)
    assert ring.pokes == 2
    ring.writer.commit(word(1, 4), VALUE, b"", 0, (1 << 62) + POKE_AGE_NS + 1)
    assert ring.pokes == 3


VALUES = st.lists(st.integers(0, RING_BYTES // 4).map(lambda size: bytes([size % 251]) * size), max_size=40)


@given(VALUES, st.integers(1, 7), st.sets(st.integers(0, 40)))
def test_whatever_is_committed_is_harvested_once_and_in_order(values: list[bytes], per_ticket: int, harvests: set[int]):
    descriptor = make_board_file(1)
    board = Board(descriptor, 1)
    os.close(descriptor)
    try:
        ring = Ring(board.slots[0])
        expected = []
        for number, value in enumerate(values):
            ticket, offset = 1 + number // per_ticket, number % per_ticket
            status = RAISED if number % 5 == 0 else VALUE
            ring.commit(ticket, offset, value, status)
            expected.append((ticket, offset, status, value))
            if number in harvests:
                ring.taken += ring.reader.take()
        ring.taken += ring.reader.take()
        assert ring.results() == expected
        assert ring.slot.words[TAKEN] == ring.slot.words[COMMITTED] == len(values)
    finally:
        board.close()
