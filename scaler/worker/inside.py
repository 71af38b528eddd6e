"""What the task in a slot can ask of its worker: a line to the cluster for its clients, and patience while it waits.

A wait that takes longer than a moment is told to the cluster by a word on the board, and the cluster answers by another
whether the slot is others' meanwhile, or the task is one too many that wait.
"""

import socket
import threading
import time
from collections.abc import Callable

from scaler.errors import ParkingError
from scaler.ids import Incarnation, TaskId
from scaler.payload import nested
from scaler.payload.nested import Attempt, Line, Standing
from scaler.worker.board import ANSWER, CURRENT, OPENED, WAITS, SlotBoard
from scaler.worker.line import TicketPacket, send_child
from scaler.worker.pair import PairEnd

#: a wait that is over so soon is not worth a spare worker
MOMENT_S = 0.002
#: so often a task that waits looks for the answer, until it has one
ASK_S = 0.02


class Inside:
    """One slot, as the task in it sees it."""

    def __init__(self, slot: SlotBoard, line: socket.socket, call: Callable[[], None]) -> None:
        self._words = slot.words
        self._line = line
        self._call = call
        #: what the slot reads its tasks from
        self.ticket: TicketPacket | None = None
        #: what is to be done when the present task ends
        self.ends: list[Callable[[], None]] = []
        self._task: TaskInside | None = None
        self._naming = threading.Lock()
        self._waits = 0

    def begin(self, ticket: TicketPacket) -> None:
        """Tasks of another ticket follow."""
        self.ticket = ticket
        nested.has_served(ticket.standing.epoch)

    def task(self) -> "TaskInside | None":
        """The task in the slot, if there is one."""
        word = self.word()
        if not word or self.ticket is None:
            return None
        with self._naming:
            if self._task is None or self._task.word != word:
                self._task = TaskInside(self, word, self.ticket)
            return self._task

    def word(self) -> int:
        """The ticket and offset of the task in the slot, as on the board."""
        return int(self._words[CURRENT])

    def end_task(self) -> None:
        """The task has ended: do what was left to be done then."""
        with self._naming:
            task, self._task = self._task, None
            if task is not None:
                task.has_ended = True
            ends = self.ends.copy()
            self.ends.clear()
        for action in ends:
            action()

    def open_line(self, child: Incarnation, word: int) -> Line:
        """A new line to the cluster, for a client inside a task."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            send_child(self._line, word - 1, child, theirs)
        self._words[OPENED] += 1
        self._call()
        return PairEnd(ours, is_patient=True)

    # ---- waiting

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait; the slot is others' while that takes longer than a moment."""
        if timeout_s is not None and timeout_s <= MOMENT_S:
            return attempt(timeout_s)
        until = None if timeout_s is None else time.monotonic() + timeout_s
        if attempt(MOMENT_S):
            return True
        try:
            self._waits += 1
            self._words[WAITS] = self._waits
            self._call()
            while not self._is_answered():
                left_s = ASK_S if until is None else until - time.monotonic()
                if attempt(min(left_s, ASK_S)):
                    return True
                if left_s <= ASK_S and until is not None:
                    return False
            return attempt(None if until is None else max(0.0, until - time.monotonic()))
        finally:
            self._words[WAITS] = 0
            self._call()

    def _is_answered(self) -> bool:
        number, is_granted = divmod(int(self._words[ANSWER]), 2)
        if number == self._waits and not is_granted:
            raise ParkingError(
                "too many tasks of this worker cluster wait for tasks of their own: start it with a larger "
                "--max-parked, or nest less"
            )
        return number == self._waits


class TaskInside:
    """One task: what belongs to it is gone when it has ended."""

    def __init__(self, inside: Inside, word: int, ticket: TicketPacket) -> None:
        self._inside = inside
        self.word = word
        self.name = TaskId(ticket.batch, ticket.lo + (word - 1 & 0xFFFFFFFF))
        self.standing: Standing = ticket.standing
        self.belongings: dict[object, object] = {}
        self.has_ended = False

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.has_ended or self._inside.word() != self.word

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done when it ends, in its own thread."""
        self._inside.ends.append(action)

    def open_line(self, child: Incarnation) -> Line:
        """A new line to the cluster, for a client of this name."""
        return self._inside.open_line(child, self.word)

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        """Wait, in its own thread, while others use the slot."""
        return self._inside.wait(attempt, timeout_s)
