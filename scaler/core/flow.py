"""Results on their way to clients: what there is room for is sent, the rest stays at its clusters until there is.

A cluster keeps every outcome until it is delivered. One that finds no room is booked, its bytes are let go, and they
are asked for again when the link of its client has room: oldest first, and no more than that room at a time.
"""

from scaler.core.batches import Batch
from scaler.core.clients import KeptResults, Way
from scaler.core.events import AwaitRoom
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.outbox import cut
from scaler.core.runs import Run
from scaler.ids import Incarnation, Range
from scaler.protocol import NeedResults, Results, SpanResult
from scaler.protocol.codec import HEADER_BYTES
from scaler.protocol.columns import Frame
from scaler.ranges import joined

#: So long nothing of what was asked for may come before others are asked.
PATIENCE_S = 1.0


def size_of(frames: tuple[Frame, ...]) -> int:
    """What a message of results takes of a window."""
    return HEADER_BYTES + sum(map(len, frames))


def kept_parts(batch: Batch, run: Run, lo: int, hi: int) -> tuple[Range, ...]:
    """What of [lo, hi) has its outcome at the cluster of this run, and nowhere else."""
    spans = batch.spans.within(lo, hi)
    return joined((span.lo, span.hi) for span in spans if span.state is State.KEPT and span.run is run)


class Flow:
    """Counts what is sent to each client, and asks for what was left behind."""

    def __init__(self, managers: Managers) -> None:
        self._clients = managers.clients
        self._tasks = managers.tasks
        self._timers = managers.timers
        self._outbox = managers.outbox
        #: the least room that is worth being told of, and the most that is asked for at a time: the other half is for
        #: what comes meanwhile
        self._half_bytes = managers.config.window_bytes // 2
        #: neighbours up to this are asked for together
        self._joined_bytes = managers.config.window_bytes // 16

    def has_room(self, batch: Batch, run: Run, message: SpanResult, frames: tuple[Frame, ...], now: float) -> bool:
        """Whether results that have come may be sent on; those that were asked for find the room set aside for them."""
        client = self._clients.clients.get(batch.owner)
        if client is None:
            return True  # they are nobody's, and go nowhere
        way = client.way
        if way.asked_bytes and kept_parts(batch, run, message.lo, message.hi):
            size_bytes = min(way.asked_bytes, size_of(frames))
            way.asked_bytes -= size_bytes
            way.room_bytes += size_bytes
            way.asked_at = now
        return way.room_bytes > 0

    def send(self, message: Results, frames: tuple[Frame, ...]) -> None:
        """Send results to their client."""
        peer = message.batch.owner
        self._outbox.send(peer, message, frames)
        way = self._clients.clients[peer].way
        way.room_bytes -= size_of(frames)
        if way.kept or way.room_bytes < self._half_bytes:
            self._await(peer, way)

    def may_send(self, peer: Incarnation) -> bool:
        """Whether a client has room for what comes from no run; if not, its link is waited for."""
        client = self._clients.clients.get(peer)
        if client is None or client.way.room_bytes > 0:
            return True
        self._await(peer, client.way)
        return False

    def keep(self, batch: Batch, message: SpanResult, frames: tuple[Frame, ...]) -> None:
        """There is no room for what has come: its cluster has it, and is asked for it later."""
        way = self._clients.clients[batch.owner].way
        name, lo, hi, size_bytes = message.run, message.lo, message.hi, size_of(frames)
        if way.kept:
            last = way.kept[-1]
            if last.run == name and last.hi == lo and last.size_bytes + size_bytes <= self._joined_bytes:
                way.kept.pop()
                lo, size_bytes = last.lo, last.size_bytes + size_bytes
        way.kept.append(KeptResults(name, lo, hi, size_bytes))
        self._await(batch.owner, way)

    def found(self, peer: Incarnation, room_bytes: int, now: float) -> None:
        """The link of a client has room, or that of a cluster, which the clients inside its tasks share."""
        client = self._clients.clients.get(peer)
        own = [client] if client is not None else self._clients.children_of(peer)
        ways = [one.way for one in own if one.way.is_awaited]  # none, if it was let out in this turn
        for way in ways:
            way.is_awaited = False
            way.room_bytes = room_bytes // len(ways) - way.asked_bytes
            self._ask(way, now)
            if way.kept or way.asked_bytes:
                self._timers.ask_by(way.asked_at + PATIENCE_S)

    def _ask(self, way: Way, now: float) -> None:
        while way.kept and way.room_bytes > 0 and way.asked_bytes < self._half_bytes:
            kept = way.kept.popleft()
            run = self._tasks.runs.get(kept.run)
            parts = kept_parts(self._tasks.batch_of(run), run, kept.lo, kept.hi) if run is not None else ()
            if run is None or not parts:
                continue
            for part in cut(parts):
                self._outbox.send(run.peer, NeedResults(run.id, part))
            way.room_bytes -= kept.size_bytes
            way.asked_bytes += kept.size_bytes
            way.asked_at = now

    def tick(self, now: float) -> None:
        """What was asked for and does not come, as its cluster is lost or stands still, is in nobody's way."""
        if self._timers.ask_at is None or now < self._timers.ask_at:
            return
        self._timers.ask_at = None
        for peer, client in self._clients.clients.items():
            way = client.way
            if way.is_awaited or not (way.kept or way.asked_bytes):
                continue
            if now < way.asked_at + PATIENCE_S:
                self._timers.ask_by(way.asked_at + PATIENCE_S)
            else:
                way.asked_bytes = 0
                self._await(peer, way)

    def _await(self, peer: Incarnation, way: Way) -> None:
        if way.is_awaited:
            return
        cluster = self._outbox.children.get(peer)
        if cluster is None or not any(child.way.is_awaited for child in self._clients.children_of(cluster)):
            self._outbox.add(AwaitRoom(peer if cluster is None else cluster, self._half_bytes))
        way.is_awaited = True
