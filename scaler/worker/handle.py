"""One worker process as its cluster holds it: its line, its board, its descriptors, and its last words."""

import contextlib
import os
import signal
from collections.abc import Sequence

from scaler.ids import Incarnation, TaskId, TicketId, WorkerId
from scaler.payload.nested import Standing
from scaler.protocol.columns import WORD_BYTES, Frame, ResultColumn, frames_of
from scaler.worker.agent_events import (
    Answer,
    ChildOpened,
    Define,
    Drop,
    Dump,
    Event,
    Give,
    Harvested,
    Interrupt,
    Limit,
    Piece,
    SlotView,
    TookBack,
    WorkerEnded,
)
from scaler.worker.board import (
    ANSWER,
    BEGUN_AT,
    CURRENT,
    ENDED,
    LIMIT,
    OPENED,
    PRELOADED,
    PRINTED,
    ROOM,
    TARGET,
    THREAD,
    WAITS,
    Board,
    make_board_file,
    parts,
    word,
)
from scaler.worker.line import NOT_BEGUN, ChildLine, ClusterEnd, drop_packet, function_packet, line_pair, ticket_packet
from scaler.worker.looks import Looks
from scaler.worker.output import STDERR, STDOUT, WHOLE_BYTES, Marks
from scaler.worker.pair import PairEnd
from scaler.worker.ring import Entries, RingReader
from scaler.worker.source import Source
from scaler.worker.stacks import Stacks
from scaler.worker.tickets import Tickets

#: of what a worker wrote to stderr, so much is kept for the error that tells of its death
STDERR_TAIL_BYTES = 4096


class WorkerHandle:
    """Makes what a worker shares with its cluster; then talks to it and looks at it."""

    def __init__(self, worker: WorkerId, threads: int) -> None:
        self.worker = worker
        self.pid = 0
        self.looks = Looks()
        #: whether it was told that it can take tickets
        self.is_announced = False
        #: when to see what memory it uses, and what that was when it passed its limit
        self.memory_due = 0.0
        self.excess_bytes = 0
        self._pid_descriptor: int | None = None
        self._is_unwanted = False
        ours, theirs = line_pair()
        self.line = ClusterEnd(ours, theirs)
        board_file = make_board_file(threads)
        self._board = Board(board_file, threads)
        self._readers = [RingReader(slot) for slot in self._board.slots]
        self._tickets = Tickets(threads)
        self._large: dict[int, bytes] = {}
        #: lines of clients inside tasks that were sent up, how many in all, and those that are heard
        self._lines: list[ChildLine] = []
        self._lines_had = 0
        self.children: dict[Incarnation, PairEnd] = {}
        self._views: tuple[SlotView, ...] = ()
        self.is_news = False
        self.poke = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        #: where what it prints is read, by the descriptor it prints to
        self.outputs = {STDOUT: stdout, STDERR: stderr}
        for descriptor in self.outputs.values():
            os.set_blocking(descriptor, False)
        self._marks = {STDOUT: Marks(), STDERR: Marks()}
        self._printed = 0
        #: those that have nothing to be read, since Python has printed last
        self._drained = set(self.outputs)
        self._tail = b""
        self._stacks = Stacks()
        #: what goes with the order to fork
        self.to_fork = (theirs.fileno(), board_file, self.poke, stdout_end, stderr_end, self._stacks.fileno())
        self._fork_only: list[int] = [board_file, stdout_end, stderr_end]

    def forked(self, pid: int, pid_descriptor: int) -> None:
        """The process is there."""
        self.pid = pid
        self._pid_descriptor = pid_descriptor
        self._close_fork_only()
        if self._is_unwanted:
            self.kill()

    def has_preloaded(self) -> bool:
        """Whether it has done what comes before its first task."""
        return bool(self._board.slots[0].words[PRELOADED])

    def _close_fork_only(self) -> None:
        while self._fork_only:
            os.close(self._fork_only.pop())

    # ---- what it is told

    def define(self, command: Define) -> None:
        """Send a function down."""
        self.line.send(*function_packet(command.function, command.frames))

    def drop(self, command: Drop) -> None:
        """Let it forget a function."""
        self.line.send(*drop_packet(command.function))

    def give(self, command: Give, now: float) -> None:
        """Send a ticket down."""
        options, column = command.options, command.column
        root = options.root or command.batch.owner
        standing = Standing(
            options.depth, options.priority, root, command.run.epoch, options.quiet, bool(options.durable)
        )
        self._tickets.give(command.ticket, column.lo, command.batch, options.name, standing.viewer)
        packet = ticket_packet(
            command.ticket, command.function, command.batch, column, standing, options.name, command.inputs
        )
        self.line.send(*packet)
        self.looks.given(now)

    def take_back(self) -> TookBack:
        """Read back what it has not read."""
        unread = tuple(self.line.take_back())
        self._tickets.take_back(unread)
        return TookBack(self.worker, unread)

    def limit(self, command: Limit) -> None:
        """Stop a slot from beginning an index or any behind it."""
        offset = max(0, command.index - self._tickets.index(command.ticket, 0))
        self._board.slots[command.slot].words[LIMIT] = word(command.ticket, offset)

    def interrupt(self, command: Interrupt) -> None:
        """Raise in a slot, if it runs this index still when the signal comes."""
        offset = command.index - self._tickets.index(command.ticket, 0)
        self._board.slots[command.slot].words[TARGET] = word(command.ticket, offset + 1)
        self._signal(signal.SIGUSR1)

    def tell_room(self, room_bytes: int) -> None:
        """Tell it what results may still take in the store where there is a limit."""
        self._board.slots[0].words[ROOM] = room_bytes

    def answer(self, command: Answer) -> None:
        """Tell a slot what becomes of its wait."""
        self._board.slots[command.slot].words[ANSWER] = 2 * command.waits + command.granted

    def dump(self, command: Dump) -> None:
        """Have it write down where the task in a slot is."""
        self._stacks.want(command.slot, self._board.slots[command.slot].words[THREAD])
        self._signal(signal.SIGUSR2)

    def stop(self) -> None:
        """Have it stand still."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; the zygote ends what it started."""
        self._is_unwanted = True
        self._signal(signal.SIGKILL)

    def retire(self) -> None:
        """Let it end when it has run what it has."""
        self.line.end_line()

    def _signal(self, number: signal.Signals) -> None:
        if self._pid_descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pid_descriptor, number)

    # ---- what it has done

    @property
    def is_at_work(self) -> bool:
        """Whether its process may be doing something: it starts, or has something to do, and is not to end."""
        return bool(self.pid) and not self._is_unwanted and (not self.is_announced or self.looks.due is not None)

    def clear_poke(self) -> None:
        """The call is heard."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.poke)

    def look(self, now: float, *, was_called: bool) -> Harvested:
        """Empty the ring and look at the slots; `is_news` says whether there was anything to be told."""
        self.line.flush()
        self._take_lines()
        pieces, seen = self._empty_ring()
        views = tuple(self._view(number, tickets) for number, tickets in enumerate(seen))
        stacks = self._stacks.take()
        self.is_news = bool(pieces) or bool(stacks) or views != self._views
        self._views = views
        self.looks.looked(now, is_idle=self._is_idle(), is_news=self.is_news or was_called)
        return Harvested(self.worker, tuple(pieces), views, stacks)

    def _is_idle(self) -> bool:
        """Whether nothing will happen before it is given something: whatever it had is done, and harvested."""
        if self.line.is_behind or not self._tickets.are_all_ended():
            return False
        if any(end.is_behind for end in self.children.values()):
            return False
        return not any(reader.has_more() for reader in self._readers)

    def _empty_ring(self) -> tuple[list[Piece], list[list[TicketId]]]:
        pieces: list[Piece] = []
        seen: list[list[TicketId]] = []
        for reader in self._readers:
            entries = reader.take()
            seen.append([one.ticket for one in entries])
            pieces += [Piece(one.ticket, self._column(one)) for one in entries]
        return pieces, seen

    def _column(self, entries: Entries) -> ResultColumn:
        lo = self._tickets.index(entries.ticket, entries.offset)
        ends = entries.ends
        data: tuple[Frame, ...] = (entries.data,)
        if entries.is_in_file:
            value = self._large_value(word(entries.ticket, entries.offset))
            ends = (entries.base + len(value)).to_bytes(WORD_BYTES, "little")
            data = frames_of(value)
        return ResultColumn(
            lo=lo,
            count=entries.count,
            base=entries.base,
            statuses=entries.statuses,
            run_us=entries.run_us,
            ends=ends,
            costs=entries.costs,
            data=data,
        )

    def _large_value(self, who: int) -> bytes:
        """A value in a file; the worker sent it ahead of its entry, and other slots may have sent theirs before."""
        while who not in self._large:
            if not self._take_one():
                raise LookupError(f"worker {self.worker} announced a value and sent none")
        return self._large.pop(who)

    def _take_one(self) -> bool:
        """Keep the next that it has sent up; whether there was anything."""
        found = self.line.receive_result()
        match found:
            case None:
                return False
            case ChildLine():
                self._lines_had += 1
                self._lines.append(found)
            case (who, value):
                self._large[who] = value
        return True

    def _take_lines(self) -> None:
        """Take in the lines of clients inside its tasks, and give those that are heard what they had no room for."""
        opened = sum([slot.words[OPENED] for slot in self._board.slots])
        while self._lines_had < opened and self._take_one():
            continue
        for end in self.children.values():
            end.flush()

    def take_children(self) -> list[ChildOpened]:
        """Clients inside its tasks that have spoken up since; they are among the `children` from now on."""
        lines, self._lines = self._lines, []
        found: list[ChildOpened] = []
        for line in lines:
            ticket, offset = parts(line.who)
            if line.end is None or ticket not in self._tickets:
                if line.end is not None:
                    line.end.close()
                continue
            self.children[line.child] = PairEnd(line.end)
            found.append(ChildOpened(self.worker, line.child, ticket, self._tickets.index(ticket, offset)))
        return found

    def _view(self, number: int, harvested: list[TicketId]) -> SlotView:
        words = self._board.slots[number].words
        current, begun_ns, waits = words[CURRENT], words[BEGUN_AT], words[WAITS]
        at = parts(current - 1) if current else (TicketId(0), 0)
        since = begun_ns / 1e9 if current else 0.0
        return self._tickets.look(number, harvested, at, since, parts(words[ENDED]), waits if current else 0)

    def has_printed(self) -> bool:
        """Whether Python has printed anything since this was asked last: it is in the pipes."""
        printed = self._board.slots[0].words[PRINTED]
        if printed == self._printed:
            return False
        self._printed = printed
        self._drained.clear()
        return True

    def settle_output(self) -> None:
        """If all it had printed by the last look is read, nobody can print any more as a task that was over then."""
        if len(self._drained) == len(self.outputs):
            self._tickets.has_read_output()

    def read_output(self, stream: int) -> list[tuple[Source | None, bytes]]:
        """Some of what it has printed to a stream since, and whose that is; the last of stderr is kept.

        Raises `BlockingIOError` if there is nothing now, `EOFError` if there will be nothing ever.
        """
        self._drained.add(stream)
        data = os.read(self.outputs[stream], WHOLE_BYTES)
        if not data:
            raise EOFError
        self._drained.discard(stream)
        found = self._marks[stream].feed(data)
        if stream == STDERR:
            self._tail = b"".join([self._tail, *(piece for _, piece in found)])[-STDERR_TAIL_BYTES:]
        return [(self._source(task), piece) for task, piece in found]

    def _source(self, task: TaskId | None) -> Source | None:
        """Whose it is: a mark that names a task of no ticket given to this worker is a forgery, and says nothing."""
        return (self._tickets.printed(task) if task is not None else None) or self._only_source()

    def _only_source(self) -> Source | None:
        """The one task that runs here, or ran last; None if there are several."""
        at = running_or_last([slot.words for slot in self._board.slots])
        return self._tickets.source(*at[0]) if len(at) == 1 else None

    def why_not_begun(self) -> str:
        """What it said of why it has not come to its first task; nothing if it could not."""
        while self._take_one():
            continue
        return self._large.pop(NOT_BEGUN, b"").decode(errors="replace")

    def ended(self, exit_code: int, now: float) -> list[Event]:
        """The process is gone: what it has left behind, in order."""
        harvested = self.look(now, was_called=True)
        unread = self.take_back().tickets
        stderr = self._tail.decode(errors="replace")
        return [harvested, WorkerEnded(self.worker, exit_code, stderr, self._views, unread)]

    def close(self) -> None:
        """Give everything back."""
        self._close_fork_only()
        self.line.close()
        for child in self.children.values():
            child.close()
        for line in self._lines:
            if line.end is not None:
                line.end.close()
        self._board.close()
        self._stacks.close()
        for descriptor in (self.poke, *self.outputs.values()):
            os.close(descriptor)
        if self._pid_descriptor is not None:
            os.close(self._pid_descriptor)


def running_or_last(slots: Sequence[Sequence[int]]) -> list[tuple[TicketId, int]]:
    """Ticket and offset of what each slot runs or, where none runs anything, ran last; from the words of each."""
    # tasks end meanwhile: each word is looked at once
    for which in (CURRENT, ENDED):
        at = [parts(value - 1) for value in [words[which] for words in slots] if value]
        if at:
            return at
    return []
