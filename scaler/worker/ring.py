"""The ring of finished tasks of one slot: the worker writes entries, the cluster copies them out in columns.

Both sides count entries and bytes from the start of the worker and never backwards; a position in the ring is such a
number modulo its size. An entry is visible once the word COMMITTED counts it, which is written last; its room is the
worker's again once TAKEN and FREED say so. Statuses and costs are 0 unless written: whoever has copied one that is not
makes it 0 again.
"""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from scaler.ids import TicketId
from scaler.protocol.columns import MAX_MEASURED
from scaler.worker.board import COMMITTED, ENTRIES, FREED, RING_BYTES, TAKEN, SlotBoard, parts

#: larger values go through a file of their own, ahead of their entry
MAX_INLINE_BYTES = RING_BYTES // 4
#: set in a status where the value is in such a file
IN_FILE = 0x80
#: results are pointed out to the cluster so long after the last time, or when so many bytes wait
POKE_AGE_NS = 5_000_000
POKE_BYTES = 256 << 10
#: from this run time on, CPU time and memory are measured
MEASURED_US = 1000
_FIRST_NAP_S = 0.0001
_LONGEST_NAP_S = 0.005


class RingWriter:
    """The worker's side: `poke` points the cluster to new results, `send_file` hands it a large value."""

    def __init__(self, slot: SlotBoard, poke: Callable[[], None], send_file: Callable[[int, bytes], None]) -> None:
        self._slot = slot
        self._words = slot.words
        self._poke = poke
        self._send_file = send_file
        self._written = 0
        self._committed = 0
        #: up to where there is room for sure; the cluster may have made more
        self._bytes_until = RING_BYTES
        self._entries_until = ENTRIES
        self._poke_at_ns = 0
        self._poke_at_bytes = POKE_BYTES
        self._cpu_ns = 0
        self._owner = os.getpid()

    def start_measuring(self) -> None:
        """What follows is measured from here on."""
        self._cpu_ns = time.thread_time_ns()

    def hold_poke(self) -> None:
        """Work has come after a rest, and the cluster looks by itself soon: no need to call it at the first result."""
        self._poke_at_ns = time.monotonic_ns() + POKE_AGE_NS

    def poke(self) -> None:
        """Point the cluster to whatever is there."""
        self._poke_at_bytes = self._written + POKE_BYTES
        self._poke()

    def abandon(self) -> None:
        """In a process that user code forked off: the ring is its parent's, and the next entry ends the process."""
        self._entries_until = -1

    def commit(self, who: int, status: int, value: bytes, run_us: int, now_ns: int) -> None:
        """Write one finished task; waits for room where there is none. Part of the hot loop."""
        if len(value) > MAX_INLINE_BYTES:
            self._send_file(who, value)
            status, value = status | IN_FILE, b""
        number, start = self._committed, self._written
        end = start + len(value)
        if end > self._bytes_until or number >= self._entries_until:
            self._wait_for_room(end)
        slot = self._slot
        at = start % RING_BYTES
        stop = at + len(value)
        if stop <= RING_BYTES:
            slot.data[at:stop] = value
        else:
            slot.data[at:] = value[: RING_BYTES - at]
            slot.data[: stop - RING_BYTES] = value[RING_BYTES - at :]
        entry = number % ENTRIES
        slot.ends[entry] = end
        slot.who[entry] = who
        if status:
            slot.statuses[entry] = status
        if run_us >= MEASURED_US:
            run_us = self._measure(entry, run_us)
        slot.run_us[entry] = run_us
        self._written = end
        self._committed = self._words[COMMITTED] = number + 1
        if now_ns > self._poke_at_ns or end > self._poke_at_bytes:
            self._poke_at_ns = now_ns + POKE_AGE_NS
            self.poke()

    def _measure(self, entry: int, run_us: int) -> int:
        cpu_ns = time.thread_time_ns()
        costs = self._slot.costs
        costs[2 * entry] = min((cpu_ns - self._cpu_ns) // 1000, run_us, MAX_MEASURED)
        costs[2 * entry + 1] = min(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, MAX_MEASURED)
        self._cpu_ns = cpu_ns
        return min(run_us, MAX_MEASURED)

    def _wait_for_room(self, end: int) -> None:
        if os.getpid() != self._owner:
            os._exit(1)
        words, nap_s = self._words, 0.0
        while True:
            self._bytes_until = words[FREED] + RING_BYTES
            self._entries_until = words[TAKEN] + ENTRIES
            if end <= self._bytes_until and self._committed < self._entries_until:
                return
            if not nap_s:
                self.poke()
            nap_s = min(_LONGEST_NAP_S, nap_s * 2 or _FIRST_NAP_S)
            time.sleep(nap_s)


@dataclass(frozen=True, slots=True)
class Entries:
    """Finished tasks of consecutive offsets of one ticket, copied out of a ring.

    The columns are those of a `ResultColumn`. One whose value `is_in_file` is alone, and its data are not here.
    """

    ticket: TicketId
    offset: int
    count: int
    base: int
    statuses: bytes
    run_us: bytes
    ends: bytes
    costs: bytes
    data: bytes
    is_in_file: bool = False


class RingReader:
    """The cluster's side."""

    def __init__(self, slot: SlotBoard) -> None:
        self._slot = slot
        self._taken = 0
        self._freed = 0

    def has_more(self) -> bool:
        """Whether results wait."""
        return bool(self._slot.words[COMMITTED] != self._taken)

    def take(self) -> list[Entries]:
        """Everything committed so far, in order; the worker may use the room again."""
        slot, found = self._slot, []
        committed = slot.words[COMMITTED]
        while self._taken < committed:
            start = self._taken % ENTRIES
            stop = start + self._consecutive(start, min(committed - self._taken, ENTRIES - start))
            found.append(self._copy(start, stop))
        slot.words[TAKEN] = self._taken
        slot.words[FREED] = self._freed
        return found

    def _consecutive(self, start: int, most: int) -> int:
        """How many entries from `start` on are neighbours in one ticket; one ring only ever counts upwards."""
        who = self._slot.who
        first = who[start]
        if who[start + most - 1] - first == most - 1:
            return most
        low, high = 1, most
        while low + 1 < high:
            middle = (low + high) // 2
            if who[start + middle - 1] - first == middle - 1:
                low = middle
            else:
                high = middle
        return low

    def _copy(self, start: int, stop: int) -> Entries:
        slot = self._slot
        statuses = bytes(slot.statuses[start:stop])
        is_in_file = False
        if statuses != bytes(stop - start):
            stop, is_in_file = _up_to_file(statuses, start, stop)
            statuses = bytes([statuses[0] & ~IN_FILE]) if is_in_file else statuses[: stop - start]
            slot.statuses[start:stop] = bytes(stop - start)
        costs = bytes(slot.costs[2 * start : 2 * stop])
        if costs == bytes(len(costs)):
            costs = b""
        else:
            slot.costs[2 * start : 2 * stop] = memoryview(bytes(len(costs))).cast("I")
        base, end = self._freed, slot.ends[stop - 1]
        ticket, offset = parts(slot.who[start])
        self._taken += stop - start
        self._freed = end
        return Entries(
            ticket=ticket,
            offset=offset,
            count=stop - start,
            base=base,
            statuses=statuses,
            run_us=bytes(slot.run_us[start:stop]),
            ends=bytes(slot.ends[start:stop]),
            costs=costs,
            data=self._bytes(base, end),
            is_in_file=is_in_file,
        )

    def _bytes(self, base: int, end: int) -> bytes:
        first = base % RING_BYTES
        last = first + end - base
        if last <= RING_BYTES:
            return bytes(self._slot.data[first:last])
        return bytes(self._slot.data[first:]) + bytes(self._slot.data[: last - RING_BYTES])


def _up_to_file(statuses: bytes, start: int, stop: int) -> tuple[int, bool]:
    """Where to stop before the first value that is in a file, or behind it if it is the very first."""
    if statuses[0] & IN_FILE:
        return start + 1, True
    number = next((number for number, status in enumerate(statuses) if status & IN_FILE), stop - start)
    return start + number, False
