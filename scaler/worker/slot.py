"""One slot of a worker: a thread that runs tickets, call by call. The only place where users' functions are called."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from scaler.errors import ObjectLostError
from scaler.ids import TaskId
from scaler.payload import nested
from scaler.payload.bare import dump, load
from scaler.payload.diagnosis import not_loadable
from scaler.payload.functions import Retried
from scaler.payload.inputs import Opener, inline
from scaler.payload.pickling import PLAIN, PROTOCOL
from scaler.payload.values import dump_result, dump_value
from scaler.protocol.columns import VALUE, Frame, words
from scaler.protocol.inputs import Inputs
from scaler.protocol.references import record_of
from scaler.storage.results import ResultFiles
from scaler.worker.board import BEGUN_AT, CURRENT, ENDED, LIMIT, TARGET, THREAD, SlotBoard, parts
from scaler.worker.describing import describe, describe_loss
from scaler.worker.inbox import Inbox
from scaler.worker.inside import Inside
from scaler.worker.line import TicketPacket, send_result
from scaler.worker.objects import Objects
from scaler.worker.ring import RingWriter
from scaler.worker.tidying import Tidying

#: what was mapped for a task is kept for the next one, if that comes so soon
KEPT_S = 1.0
_ONE = (1).to_bytes(8, "little")
#: types whose values are small, and those whose length tells whether one is
_FIXED = PLAIN - {str, bytes}
_SIZED = frozenset((str, bytes))
#: stands for a call whose bytes could not be opened
_UNREAD: Any = None  # Any: calls are users' values


class Interrupted(BaseException):
    """Raised in a task that is cancelled or ran into its timeout; never seen by users who catch `Exception`."""


class Slot:
    """Runs tickets until the line ends, and leaves every result in the ring, or in `results` if it is large.

    `place` is told in users' tracebacks.
    """

    def __init__(
        self, board: SlotBoard, inbox: Inbox, line: socket.socket, poke: int, place: str, results: ResultFiles
    ) -> None:
        self._words = board.words
        self._inbox = inbox
        self._line = line
        self._poke = poke
        self._place = place
        self._ring = RingWriter(board, self._point_out, self._send_up)
        self._results = results
        #: whether control is in a task, and it has not been interrupted yet
        self._inside = [False]
        #: the ticket it runs
        self._running: TicketPacket | None = None
        #: the thread it is, once it runs
        self.thread = 0
        #: what it does when it has had nothing to do for a while
        self.tidying: Tidying | None = None
        #: what its tasks have had of the stores of this host
        self._objects = Objects()
        #: what the task can ask of us
        self._asked = Inside(board, line, self._point_out)
        os.register_at_fork(after_in_child=self._ring.abandon)

    def run(self) -> None:
        """Until the line ends."""
        self._words[THREAD] = self.thread = threading.get_ident()
        inbox, ring = self._inbox, self._ring
        nested.occupy(self._asked)
        while True:
            try:
                ticket = inbox.next_now()
            except BlockingIOError:
                ring.poke()
                if self._objects and not inbox.comes_within(KEPT_S):
                    self._objects.let_go()
                if self.tidying is not None and not inbox.comes_within(self.tidying.after_s):
                    self.tidying.tidy()
                ticket = inbox.next()
                ring.hold_poke()
            if ticket is None:
                ring.poke()
                return
            self._run_ticket(ticket)

    def on_interrupt(self, _signal: int, _frame: object) -> None:
        """Raise in the task that the cluster aimed at, if it still runs; once."""
        if self._inside[0] and self._words[TARGET] == self._words[CURRENT] != 0:
            self._inside[0] = False
            raise Interrupted("the task was cancelled")

    def task(self) -> TaskId | None:
        """The task it runs, as what that prints is marked with; None while it runs none."""
        current, running = self._words[CURRENT], self._running
        if not current or running is None:
            return None
        return TaskId(running.batch, running.lo + parts(current - 1)[1])

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done once when the task ends that it runs."""
        if action not in self._asked.ends:
            self._asked.ends.append(action)

    def _run_ticket(self, ticket: TicketPacket) -> None:
        board_words, first = self._words, ticket.ticket << 32
        self._asked.begin(ticket)
        # The first task is blamed for what loading the function does to the process.
        board_words[BEGUN_AT] = begun = time.monotonic_ns()
        board_words[CURRENT] = first + 1
        self._ring.start_measuring()
        end = first
        if not first <= board_words[LIMIT] <= first:
            self._running = ticket
            loaded = self._inbox.load(ticket.function)
            if isinstance(loaded, Retried):
                end = self._run_calls(loaded.function, loaded.retry_on, ticket, begun)
            else:
                end = self._run_calls(loaded, (), ticket, begun)
            self._running = None
        if self._asked.ends:  # of a task that was loaded, and not begun
            self._asked.end_task()
        board_words[ENDED] = end
        board_words[CURRENT] = 0

    def _run_calls(
        self,
        function: Callable[..., Any],  # Any: users' functions
        retry_on: tuple[type[BaseException], ...],
        ticket: TicketPacket,
        now: int,
    ) -> int:
        """Run the calls of a ticket in order; the word behind the last one run. The hot loop of every worker."""
        opener, content = _parts_of(ticket, self._objects)
        data_at = 8 * (ticket.count + 1)
        offsets, data = words(content[:data_at]).tolist(), content[data_at:]
        board_words, inside, commit, fixed, sized = self._words, self._inside, self._ring.commit, _FIXED, _SIZED
        clock, ends, base, start = time.monotonic_ns, self._asked.ends, offsets[0], 0
        first = who = ticket.ticket << 32
        inline_bytes = inline.most_bytes
        for end in offsets[1:]:
            board_words[CURRENT] = who + 1
            if first <= board_words[LIMIT] <= who:
                return who
            board_words[BEGUN_AT] = begun = now
            call, stop = _UNREAD, end - base
            try:
                try:
                    inside[0] = True
                    call = load(data[start:stop]) if opener is None else opener.open(who - first, data[start:stop])
                    value = function(*call) if type(call) is tuple else function(*call[0], **call[1])
                    kind = type(value)
                    is_small = kind in fixed or (kind in sized and len(value) < inline_bytes)
                    status, result = VALUE, dump(value, PROTOCOL) if is_small else b""
                    if not is_small or len(result) >= inline_bytes:
                        status, result = self._result_of(value, ticket)
                    inside[0] = False
                except BaseException as error:  # noqa: BLE001  # whatever a task raises is its result
                    inside[0] = False
                    status, result = self._describe(error, retry_on, ticket, who - first, call)
            except Interrupted as error:  # it came while another error was taken in
                status, result = self._describe(error, (), ticket, who - first, call)
            call = value = None
            if ends:
                self._asked.end_task()
            start = stop
            now = clock()
            commit(who, status, result, (now - begun) // 1000, now)
            who += 1
        return who

    def _result_of(self, value: Any, ticket: TicketPacket) -> tuple[int, bytes]:  # Any: whatever a task returns
        """Status and bytes of what may be large."""
        if not self._results or ticket.standing.by_value:
            return VALUE, dump_value(value)
        return dump_result(value, self._lay)

    def _lay(self, parts: Sequence[Frame]) -> bytes:
        return record_of(self._results.lay(parts, self._words[CURRENT]))

    def _describe(
        self,
        error: BaseException,
        retry_on: tuple[type[BaseException], ...],
        ticket: TicketPacket,
        number: int,
        call: Any,  # Any: the users' values, or that they could not be read
    ) -> tuple[int, bytes]:
        """Status and bytes of what a task raised."""
        self._results.undo(self._words[CURRENT])
        if call is _UNREAD and isinstance(error, ObjectLostError):
            return describe_loss(error, self._place)
        if call is _UNREAD and not isinstance(error, Interrupted):
            error = not_loadable("the arguments", error).with_traceback(error.__traceback__)
        task = TaskId(ticket.batch, ticket.lo + number)
        return describe(error, retry_on, f"in task {task} ({ticket.name}) on {self._place}")

    def _send_up(self, who: int, value: bytes) -> None:
        send_result(self._line, who, value)

    def _point_out(self) -> None:
        os.write(self._poke, _ONE)


def _parts_of(ticket: TicketPacket, objects: Objects) -> tuple[Opener | None, memoryview]:
    """What opens the inputs of its calls, if they need any; and the calls."""
    content = memoryview(ticket.content)
    if not ticket.input_bytes:
        return None, content
    at = len(content) - ticket.input_bytes
    return Opener(Inputs(ticket.count, content[at:]), objects), content[:at]
