"""What the agent asks for in one turn: orders to workers at once; what is said is gathered and said in one go."""

from collections.abc import Iterable

from scaler.ids import Range, RunId, WorkerId
from scaler.protocol import Confirmed, FromCluster, Returned, ReturnReason
from scaler.protocol.columns import Frame, ResultColumn
from scaler.ranges import RangeSet
from scaler.worker.agent_events import (
    Command,
    DropCode,
    DropObject,
    End,
    Hold,
    KeepCode,
    Measure,
    Note,
    Say,
    StorePiece,
)
from scaler.worker.agent_peer_events import AnswerPeer, AskPeer, UsePass
from scaler.worker.agent_result_events import AdoptResults, DropLeftovers, DropResults, ReadPiece, ReadResult

_OF_NO_WORKER = (
    Say,
    KeepCode,
    DropCode,
    Hold,
    StorePiece,
    DropObject,
    AdoptResults,
    DropResults,
    DropLeftovers,
    ReadPiece,
    ReadResult,
    AskPeer,
    AnswerPeer,
    UsePass,
    Measure,
    Note,
    End,
)


class Outbox:
    """The commands of a turn; `results` are said with what runs at the end of it, see `Telling`."""

    def __init__(self) -> None:
        self._orders: list[Command] = []
        self._said: list[Command] = []
        self._confirmed: dict[RunId, RangeSet] = {}
        self._returned: dict[tuple[RunId, ReturnReason], RangeSet] = {}
        #: finished in this turn, in order: run, place, column
        self.results: list[tuple[RunId, str, ResultColumn]] = []

    def order(self, command: Command) -> None:
        """Ask the shell for something."""
        self._orders.append(command)

    def withdraw(self, worker: WorkerId) -> None:
        """A worker has ended: nothing that was ordered of it in this turn can be done any more."""
        self._orders = [order for order in self._orders if isinstance(order, _OF_NO_WORKER) or order.worker != worker]

    def note(self, level: str, text: str, **fields: str | float) -> None:
        """Tell the log."""
        self._orders.append(Note(level, text, tuple(fields.items())))

    def say(self, message: FromCluster, frames: tuple[Frame, ...] = ()) -> None:
        """Tell the scheduler."""
        self._said.append(Say(message, frames))

    def confirm(self, run: RunId, lo: int, hi: int) -> None:
        """[lo, hi) was cancelled, and that is done."""
        self._confirmed.setdefault(run, RangeSet()).add(lo, hi)

    def give_back(self, run: RunId, lo: int, hi: int, reason: ReturnReason) -> None:
        """[lo, hi) is the scheduler's again."""
        self._returned.setdefault((run, reason), RangeSet()).add(lo, hi)

    def returned(self, run: RunId, ranges: Iterable[Range], reason: ReturnReason) -> None:
        """As `give_back`, for many."""
        for lo, hi in ranges:
            self.give_back(run, lo, hi, reason)

    def begin_anew(self) -> None:
        """A new link stands: what was to be said on the old one is told by what is held now."""
        self._said.clear()
        self._confirmed.clear()
        self._returned.clear()
        self.results.clear()

    def gather(self) -> None:
        """Say what was gathered."""
        for (run, reason), returned in self._returned.items():
            self.say(Returned(run, returned.ranges(), reason))
        for run, confirmed in self._confirmed.items():
            self.say(Confirmed(run, confirmed.ranges()))
        self._returned.clear()
        self._confirmed.clear()

    def take(self, greeting: Iterable[Say] = ()) -> list[Command]:
        """The commands of the turn: orders, what is said before all else, and the rest."""
        self.gather()
        commands = [*self._orders, *greeting, *self._said]
        self._orders.clear()
        self._said.clear()
        return commands
