"""What tasks print, on its way up: gathered for a moment, and no more of it than its client's terminal can show.

It goes to the client that is to see it, which of nested tasks is that of the outermost.
"""

from scaler.ids import Incarnation
from scaler.protocol import Output, OutputPiece
from scaler.protocol.output_messages import MAX_PIECES
from scaler.worker.agent_events import Printed
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_pool import Pool

#: what is printed waits so long for more, or for a result to go with
GATHER_S = 0.1
#: a line costs a token, and one more for every so many bytes
TOKEN_BYTES = 256
#: a cluster may save up tokens for so long
BURST_S = 5.0


class _Gathered:
    """What is to be told to one client."""

    def __init__(self) -> None:
        self.pieces: list[tuple[OutputPiece, bytearray]] = []
        self.dropped = 0


class Telling:
    """Gathers what tasks print and says it; `per_s` are the tokens that a cluster gets a second."""

    def __init__(self, per_s: float, pool: Pool, outbox: Outbox) -> None:
        self._per_s = per_s
        self._pool = pool
        self._outbox = outbox
        self._tokens = per_s * BURST_S
        self._counted_at = 0.0
        self._is_linked = False
        self._gathered: dict[Incarnation, _Gathered] = {}
        self._due: float | None = None

    def linked(self, *, is_linked: bool) -> None:
        """A scheduler is there, or it is not: what nobody takes now is not kept."""
        self._is_linked = is_linked
        if not is_linked:
            self._gathered.clear()
            self._due = None

    def printed(self, event: Printed, now: float) -> None:
        """Take in what a task has printed, as far as there are tokens."""
        source = event.source
        worker = self._pool.workers.get(event.worker)
        if worker is None or not self._is_linked or source.viewer is None:
            return
        gathered = self._gathered.setdefault(source.viewer, _Gathered())
        self._due = now + GATHER_S if self._due is None else self._due
        lines = event.data.splitlines(keepends=True)
        fitting = self._pay(lines, now)
        # what has no end yet is counted with it
        gathered.dropped += sum(line.endswith((b"\n", b"\r")) for line in lines[fitting:])
        if not fitting:
            return
        piece = OutputPiece(source.batch.n, source.index, source.name, worker.place, event.is_error)
        if not gathered.pieces or gathered.pieces[-1][0] != piece:
            gathered.pieces.append((piece, bytearray()))
        gathered.pieces[-1][1].extend(b"".join(lines[:fitting]))

    def _pay(self, lines: list[bytes], now: float) -> int:
        """How many of the lines there are tokens for; they are spent."""
        self._tokens = min(self._per_s * BURST_S, self._tokens + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        for fitting, line in enumerate(lines):
            cost = 1 + len(line) // TOKEN_BYTES
            if cost > self._tokens:
                return fitting
            self._tokens -= cost
        return len(lines)

    def tell(self, now: float) -> None:
        """Say what was gathered if it is time; with results it goes ahead of them."""
        if self._due is None or (now < self._due and not self._outbox.results):
            return
        for viewer, gathered in self._gathered.items():
            pieces, dropped = gathered.pieces, gathered.dropped
            for at in range(0, len(pieces) or 1, MAX_PIECES):
                part = pieces[at : at + MAX_PIECES]
                message = Output(viewer, tuple(piece for piece, _ in part), 0 if at else dropped)
                self._outbox.say(message, tuple(bytes(text) for _, text in part))
        self._gathered.clear()
        self._due = None

    def next_deadline(self) -> float | None:
        """When to say it."""
        return self._due
