"""An object that comes in pieces, in any order: which are to be asked for, which are coming, how many have come."""

from collections.abc import Mapping

from scaler.ids import ObjectId
from scaler.protocol import FetchChunks
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame, frames_of
from scaler.ranges import RangeSet

#: so many pieces are on their way at a time, and asked for together
WINDOW = 16
STEP = 8
#: nobody asks for more of an object in one message
MOST_PIECES = 64
#: a piece goes in frames of this size: while one is encrypted and sent nobody else's message is
PIECE_FRAME_BYTES = 128 << 10
MOST_PIECE_FRAMES = 64


class Pieces:
    """Those of one object of so many bytes."""

    __slots__ = ("_to_ask", "come", "coming", "count", "is_absent")

    def __init__(self, size_bytes: int) -> None:
        self.count = -(-size_bytes // MAX_FRAME_BYTES)
        #: whoever has it is not there at the moment: it is told when to ask
        self.is_absent = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """None has come."""
        self._to_ask = RangeSet(((0, self.count),))
        self.coming: set[int] = set()
        self.come = 0

    def ask_again(self) -> None:
        """What was asked for will not come."""
        for n in self.coming:
            self._to_ask.add(n, n + 1)
        self.coming.clear()

    def located(self, *, is_there: bool) -> None:
        """Pieces can be had, or cannot for a while."""
        self.is_absent = not is_there
        if self.is_absent:
            self.ask_again()

    def arrived(self, n: int) -> bool:
        """A piece has come; False if it was not asked for."""
        if n not in self.coming:
            return False
        self.coming.discard(n)
        self.come += 1
        return True

    def has(self, n: int) -> bool:
        """Whether a piece has come."""
        return n < self.count and n not in self.coming and not self._to_ask.intersects(n, n + 1)

    @property
    def is_whole(self) -> bool:
        """Whether all have come."""
        return self.come == self.count

    def next_step(self) -> tuple[int, int] | None:
        """The next pieces to ask for; None if there are none."""
        if not self._to_ask or self.is_absent:
            return None
        lo, hi = next(iter(self._to_ask))
        return lo, min(hi, lo + STEP)

    def asked(self, lo: int, hi: int) -> None:
        """These are on their way."""
        self._to_ask.remove(lo, hi)
        self.coming.update(range(lo, hi))

    def check(self) -> None:
        """Each is in one place."""
        assert self.come + len(self.coming) + len(self._to_ask) == self.count


def piece_frames(data: bytes) -> tuple[Frame, ...]:
    """One piece, as it is sent."""
    return frames_of(data, PIECE_FRAME_BYTES)


def ask(wanted: Mapping[ObjectId, Pieces]) -> list[FetchChunks]:
    """What to ask for now, of what is wanted first."""
    room = WINDOW - sum(len(pieces.coming) for pieces in wanted.values())
    asked: list[FetchChunks] = []
    for name, pieces in wanted.items():
        while (step := pieces.next_step()) is not None:
            lo, hi = step
            if room < hi - lo:
                return asked
            pieces.asked(lo, hi)
            asked.append(FetchChunks(name, lo, hi - lo))
            room -= hi - lo
    return asked
