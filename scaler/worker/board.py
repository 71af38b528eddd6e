"""The file that a worker and its cluster share: what each slot runs, and the results it has made.

A worker process writes, the cluster reads; what is written survives the worker. Every slot has a few words and a ring:
columns of entries, one entry a task, and a ring of bytes that the results are pickled into (see `ring.py`).

`LIMIT` is how the cluster takes the rest of a ticket away from a worker that is stuck in one task. The worker stores
CURRENT for the next task and then loads LIMIT; the cluster stores LIMIT, waits 2 ms, and then loads CURRENT. A store
leaves the processor's buffer for all to see within microseconds, so if CURRENT then still shows an index below the
limit, the worker's later load finds the limit. All words are 64 bits wide and aligned, so none is ever seen half
written.
"""

import mmap
import os

from scaler.ids import TicketId
from scaler.protocol.columns import MAX_FRAME_BYTES

# Words of a slot; those the worker writes first, then those the cluster writes.
CURRENT = 0  #: ticket and offset + 1 of the task that runs; 0: idle
BEGUN_AT = 1  #: when it began, in ns of the monotonic clock
ENDED = 2  #: the ticket it left last, and the offset behind the last task it ran of it
COMMITTED = 3  #: entries finished since the start; written last, so what it counts is there
PRELOADED = 4  #: 1 once what comes before the first task is done; in the first slot alone
THREAD = 5  #: the number of its thread, as stacks name it
WAITS = 6  #: while the task waits for others: a number of its own for each wait; else 0
OPENED = 7  #: how many lines of clients inside tasks were sent up
LIMIT = 8  #: ticket and offset from which on nothing may begin
TARGET = 9  #: what CURRENT has to be for an interrupt to be meant for it
TAKEN = 10  #: entries the cluster has emptied
FREED = 11  #: bytes the cluster has emptied
ANSWER = 12  #: twice the number of the last wait that was heard of, and 1 if the slot is others' meanwhile
PRINTED = 13  #: counts what Python has printed in any slot; in the words of the first slot, written behind the pipe
ROOM = 14  #: bytes that results may still take in the store in memory; the cluster writes it to the first slot's words
#: two cache lines, so that the two sides do not share one
_WORDS = 16

#: entries of a ring, and bytes for their values, which are one frame at most
ENTRIES = 16384
RING_BYTES = MAX_FRAME_BYTES

_ENTRY_BYTES = 8 + 8 + 8 + 4 + 1
_SLOT_BYTES = -(-(_WORDS * 8 + ENTRIES * _ENTRY_BYTES + RING_BYTES) // mmap.PAGESIZE) * mmap.PAGESIZE


def word(ticket: int, offset: int) -> int:
    """A ticket and an offset within it as one word."""
    return ticket << 32 | offset


def parts(value: int) -> tuple[TicketId, int]:
    """The ticket and the offset of a word."""
    return TicketId(value >> 32), value & 0xFFFFFFFF


class SlotBoard:
    """The words and the columns of one slot, as views of the shared file."""

    __slots__ = ("costs", "data", "ends", "run_us", "statuses", "who", "words")

    def __init__(self, view: memoryview) -> None:
        at = _WORDS * 8
        self.words = view[:at].cast("Q")
        #: the absolute end of each value in the slot's stream of bytes
        self.ends = view[at : at + ENTRIES * 8].cast("Q")
        at += ENTRIES * 8
        #: ticket and offset of each entry
        self.who = view[at : at + ENTRIES * 8].cast("Q")
        at += ENTRIES * 8
        #: CPU in µs and peak memory in KiB of each; 0 where not measured
        self.costs = view[at : at + ENTRIES * 8].cast("I")
        at += ENTRIES * 8
        self.run_us = view[at : at + ENTRIES * 4].cast("I")
        at += ENTRIES * 4
        self.statuses = view[at : at + ENTRIES]
        at += ENTRIES
        self.data = view[at : at + RING_BYTES]

    def release(self) -> None:
        """Let go of the views, so that the file can be unmapped."""
        for name in self.__slots__:
            getattr(self, name).release()


class Board:
    """The shared file of one worker, mapped."""

    def __init__(self, descriptor: int, slots: int) -> None:
        self._map = mmap.mmap(descriptor, slots * _SLOT_BYTES)
        self._view = memoryview(self._map)
        self.slots = [SlotBoard(self._view[n * _SLOT_BYTES : (n + 1) * _SLOT_BYTES]) for n in range(slots)]

    def close(self) -> None:
        """Unmap the file."""
        for slot in self.slots:
            slot.release()
        self._view.release()
        self._map.close()


def make_board_file(slots: int) -> int:
    """A new shared file, as a descriptor; it has no name and is gone with its last user."""
    descriptor = os.memfd_create("scaler-board", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, slots * _SLOT_BYTES)
    return descriptor
