"""The commands of one turn: sent in order; what is said of one run many times is gathered and said once, at the end."""

from collections.abc import Iterable

from scaler.core.events import Command, CutOff, Note, Publish, Send
from scaler.core.tasks import SpanEvent
from scaler.ids import Incarnation, Range, RunId
from scaler.protocol import CancelRun, Delivered, FromScheduler, TellChild
from scaler.protocol.columns import Frame
from scaler.protocol.options import MAX_RANGES
from scaler.ranges import joined

#: the name of a run takes as much of a message as so many ranges
RUN_COST = 2
_Gathered = dict[tuple[Incarnation, RunId], list[tuple[int, int]]]


def cut(ranges: tuple[Range, ...]) -> Iterable[tuple[Range, ...]]:
    """A list of ranges in parts that each fit a message."""
    return (ranges[at : at + MAX_RANGES] for at in range(0, len(ranges), MAX_RANGES))


class Outbox:
    """What the core asks for in this turn. Only peers that are here are written to."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._delivered: _Gathered = {}
        self._cancelled: _Gathered = {}
        #: all peers with a link
        self.peers: dict[Incarnation, str] = {}
        #: the clients inside tasks, and the cluster that each of them is told things through
        self.children: dict[Incarnation, Incarnation] = {}

    def send(self, peer: Incarnation, message: FromScheduler, frames: tuple[Frame, ...] = ()) -> None:
        """A message for a peer, or for a client inside a task; nothing if it is lost."""
        if peer in self.peers:
            self._commands.append(Send(peer, message, frames))
        elif (cluster := self.children.get(peer)) is not None:
            told = TellChild(peer, message)  # type: ignore[arg-type]  # whoever tells a client tells it a client's messages
            self.send(cluster, told, frames)

    def delivered(self, peer: Incarnation, run: RunId, lo: int, hi: int) -> None:
        """A cluster may forget these results."""
        self._gather(self._delivered, peer, run, lo, hi)

    def cancel(self, peer: Incarnation, run: RunId, lo: int, hi: int) -> None:
        """A cluster is to stop these."""
        self._gather(self._cancelled, peer, run, lo, hi)

    @staticmethod
    def _gather(gathered: _Gathered, peer: Incarnation, run: RunId, lo: int, hi: int) -> None:
        ranges = gathered.setdefault((peer, run), [])
        if ranges and ranges[-1][1] == lo:
            ranges[-1] = (ranges[-1][0], hi)
        else:
            ranges.append((lo, hi))

    def cut_off(self, peer: Incarnation, reason: str) -> None:
        """End the link with a peer."""
        self._commands.append(CutOff(peer, reason))

    def note(self, level: str, text: str, *fields: tuple[str, str | int | float]) -> None:
        """A fact for the log."""
        self._commands.append(Note(level, text, fields))

    def publish(self, spans: list[SpanEvent]) -> None:
        """Span events for whoever watches."""
        if spans:
            self._commands.append(Publish(tuple(spans)))

    def add(self, command: Command) -> None:
        """Any other command."""
        self._commands.append(command)

    def flush(self) -> list[Command]:
        """All commands of the turn."""
        for (peer, run), ranges in self._cancelled.items():
            for part in cut(joined(ranges)):
                self.send(peer, CancelRun(run, part))
        if self._delivered:
            self._say_delivered()
        self._cancelled.clear()
        commands, self._commands = self._commands, []
        return commands

    def _say_delivered(self) -> None:
        """Tell each cluster in as few messages as the ranges fit."""
        by_peer: dict[Incarnation, list[tuple[RunId, tuple[Range, ...]]]] = {}
        for (peer, run), ranges in self._delivered.items():
            by_peer.setdefault(peer, []).extend((run, part) for part in cut(joined(ranges)))
        self._delivered.clear()
        for peer, runs in by_peer.items():
            together: list[tuple[RunId, tuple[Range, ...]]] = []
            room = MAX_RANGES
            for run, part in runs:
                room -= len(part) + RUN_COST
                if together and room < 0:
                    self.send(peer, Delivered(tuple(together)))
                    together, room = [], MAX_RANGES - len(part) - RUN_COST
                together.append((run, part))
            self.send(peer, Delivered(tuple(together)))
