"""Clients at a durable work: which outcomes each wants, and how much of what it was sent it has not taken. Pure."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from scaler.core.events import Send
from scaler.durable.batch import WorkBatchRecord
from scaler.durable.events import Doings, ReadEnds
from scaler.durable.records import CANCELLED, UNREADABLE, said_in
from scaler.durable.rows import Row
from scaler.ids import BatchId, Incarnation, Range
from scaler.protocol import Acknowledged, CancelTasks, Results, TasksFailed, ToClient
from scaler.protocol.columns import Frame, ResultColumn
from scaler.protocol.options import MAX_RANGES
from scaler.ranges import RangeSet, members_within

#: what was sent and not taken; beyond it outcomes stay on disk until the client has taken some
MOST_UNTAKEN_BYTES = 8 << 20
#: what a message counts beside its bytes
_MESSAGE_BYTES = 256
#: outcomes read at a time
READ_AT_ONCE = 256


class Window:
    """What one client sees of a work."""

    __slots__ = ("_sent", "_untaken_bytes", "is_reading", "peer", "wants")

    def __init__(self, peer: Incarnation) -> None:
        self.peer = peer
        #: tasks whose outcomes it wants and was not sent, by batch
        self.wants: dict[int, RangeSet] = {}
        #: what was sent and not taken: by batch, by first index, up to where and of how many bytes
        self._sent: dict[int, dict[int, tuple[int, int]]] = {}
        self._untaken_bytes = 0
        #: something is being read for it
        self.is_reading = False

    @property
    def has_room(self) -> bool:
        """Whether it may be sent more."""
        return self._untaken_bytes < MOST_UNTAKEN_BYTES

    def want(self, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """It wants these."""
        for lo, hi in ranges:
            self.wants.setdefault(batch, RangeSet()).add(lo, hi)

    def unwant(self, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """It does not want these any more."""
        wants = self.wants.get(batch)
        if wants is not None:
            for lo, hi in ranges:
                wants.remove(lo, hi)
            if not wants:
                del self.wants[batch]

    def takes(self, batch: int, lo: int, hi: int, size_bytes: int) -> bool:
        """Whether it is to be sent the outcomes of [lo, hi) now; they count as sent then."""
        wants = self.wants.get(batch)
        if wants is None or not self.has_room or not wants.remove(lo, hi):
            return False
        if not wants:
            del self.wants[batch]
        sent = self._sent.setdefault(batch, {})
        before = sent.get(lo, (0, 0))
        size_bytes += _MESSAGE_BYTES + before[1]
        sent[lo] = (max(hi, before[0]), size_bytes)
        self._untaken_bytes += size_bytes - before[1]
        return True

    def check(self) -> None:
        """Raise unless what was sent is counted right."""
        assert self._untaken_bytes == sum(size for sent in self._sent.values() for _, size in sent.values())
        assert all(self.wants.values())
        assert all(self._sent.values())

    def __bool__(self) -> bool:
        """Whether it waits for anything, or has something to take."""
        return bool(self.wants or self._sent or self.is_reading)

    def taken(self, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """It has taken these."""
        sent = self._sent.get(batch)
        if sent is None:
            return
        for lo, hi in ranges:
            for first in members_within(sent, lo, hi):
                self._untaken_bytes -= sent.pop(first)[1]
        if not sent:
            del self._sent[batch]


class Windows:
    """All clients at one work, whose batches these are."""

    def __init__(
        self, work: str, incarnation: Incarnation, batches: Mapping[int, WorkBatchRecord], doings: Doings
    ) -> None:
        self._work = work
        self._incarnation = incarnation
        self._batches = batches
        self._doings = doings
        self._by_peer: dict[Incarnation, Window] = {}

    def check(self) -> None:
        """Raise unless every invariant holds."""
        for window in self._by_peer.values():
            window.check()

    def __bool__(self) -> bool:
        """Whether any of them waits for anything."""
        return any(self._by_peer.values())

    def come(self, peer: Incarnation) -> None:
        """A client has come."""
        self._by_peer[peer] = Window(peer)

    def leave(self, peer: Incarnation) -> None:
        """A client is gone."""
        self._by_peer.pop(peer, None)

    def want(self, peer: Incarnation, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """A client wants the outcomes of these."""
        if (window := self._by_peer.get(peer)) is not None:
            window.want(batch, ranges)
            self._catch_up(window)

    def unwant(self, peer: Incarnation, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """A client does not want the outcomes of these any more."""
        if (window := self._by_peer.get(peer)) is not None:
            window.unwant(batch, ranges)

    def want_nothing(self, peer: Incarnation) -> None:
        """A client waits for nothing any more."""
        if (window := self._by_peer.get(peer)) is not None:
            window.wants.clear()

    def acknowledge(self, peer: Incarnation, known: WorkBatchRecord) -> None:
        """Tell a client how much of a batch is on disk."""
        if known.appended:
            self.say(peer, Acknowledged(known.id, known.appended))

    def cleared(self, batches: Iterable[int]) -> None:
        """These batches are no more: who waits for tasks of theirs is told."""
        for n in batches:
            batch = BatchId(self._incarnation, n)
            for window in self._by_peer.values():
                ranges = window.wants.pop(n, RangeSet()).ranges()
                for at in range(0, len(ranges), MAX_RANGES):
                    self.say(window.peer, TasksFailed(batch, ranges[at : at + MAX_RANGES], CANCELLED))

    def taken(self, peer: Incarnation, batch: int, ranges: Iterable[tuple[int, int]]) -> None:
        """A client has taken the outcomes of these."""
        if (window := self._by_peer.get(peer)) is not None:
            window.taken(batch, ranges)
            self._catch_up(window)

    def say(self, peer: Incarnation, message: ToClient, frames: tuple[Frame, ...] = ()) -> None:
        """Tell a client, if it is still here."""
        if peer in self._by_peer:
            self._doings.clients.append(Send(peer, message, frames))

    def say_to_all(self, message: ToClient, frames: tuple[Frame, ...] = ()) -> None:
        """Tell them all."""
        for peer in self._by_peer:
            self.say(peer, message, frames)

    def ended(
        self, message: Results | TasksFailed, frames: tuple[Frame, ...], ranges: Iterable[tuple[int, int]]
    ) -> None:
        """Outcomes are on disk: who waits for them is told, as far as there is room."""
        for lo, hi in ranges:
            for window in self._by_peer.values():
                self._pass_on(window, message, frames, lo, hi)

    def _pass_on_read(
        self,
        window: Window,
        asked: ReadEnds,
        message: Results | TasksFailed,
        frames: tuple[Frame, ...],
        ranges: Iterable[tuple[int, int]],
    ) -> None:
        """Of what was not asked for an earlier row may say otherwise."""
        known = self._batches.get(asked.batch)
        for lo, hi in ranges:
            if known is None or known.has_repeats:
                lo, hi = max(lo, asked.lo), min(hi, asked.hi)  # noqa: PLW2901  # the part that was asked for
            if lo < hi:
                self._pass_on(window, message, frames, lo, hi)

    def _pass_on(
        self, window: Window, message: Results | TasksFailed, frames: tuple[Frame, ...], lo: int, hi: int
    ) -> None:
        if window.takes(message.batch.n, lo, hi, sum(map(len, frames))):
            self.say(window.peer, *_part_of(message, frames, lo, hi))

    def _catch_up(self, window: Window) -> None:
        """Read some of what a client wants and has ended, if there is room for it."""
        if window.is_reading or not window.has_room:
            return
        for n, wants in window.wants.items():
            known = self._batches.get(n)
            for lo, hi in known.ended if known is not None else ():
                for part in wants.within(lo, hi):
                    window.is_reading = True
                    most = min(part.hi, part.lo + READ_AT_ONCE)
                    self._doings.disk.append(ReadEnds(self._work, n, part.lo, most, window.peer))
                    return

    def read(self, asked: ReadEnds, rows: Iterable[Row]) -> None:
        """What was asked for a client was read; what is missing of it is damaged."""
        window = self._by_peer.get(Incarnation(asked.reader))
        if window is None:
            return
        window.is_reading = False
        batch = BatchId(self._incarnation, asked.batch)
        for row in rows:
            message = said_in(row)
            match message:
                case Results(_, lo, hi):
                    self._pass_on_read(window, asked, message, row.frames, ((lo, hi),))
                case TasksFailed(_, ranges):
                    self._pass_on_read(window, asked, message, (), ranges)
                case CancelTasks(_, ranges):
                    self._pass_on_read(window, asked, TasksFailed(batch, ranges, CANCELLED), (), ranges)
        if window.has_room:
            for lo, hi in window.wants.get(asked.batch, RangeSet()).within(asked.lo, asked.hi):
                self._pass_on(window, TasksFailed(batch, (Range(lo, hi),), UNREADABLE), (), lo, hi)
        self._catch_up(window)


def _part_of(
    message: Results | TasksFailed, frames: tuple[Frame, ...], lo: int, hi: int
) -> tuple[Results | TasksFailed, tuple[Frame, ...]]:
    """What a message says of [lo, hi)."""
    if isinstance(message, TasksFailed):
        return replace(message, ranges=(Range(lo, hi),)), frames
    if (message.lo, message.hi) == (lo, hi):
        return message, frames
    column = ResultColumn.from_frames(message.lo, message.hi, message.base, frames).slice(lo, hi)
    return replace(message, lo=lo, hi=hi, base=column.base), column.frames()
