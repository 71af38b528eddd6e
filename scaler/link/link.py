"""One link, as one of its two ends sees it: numbers what is sent, keeps it until acknowledged, drops repeats.

What the window has no room for waits here in order. The link knows nothing of sockets; a new connection is `attach`.
"""

from collections import deque
from typing import NamedTuple

from scaler.protocol.codec import HEADER_BYTES, Header, Sendable
from scaler.protocol.columns import Frame
from scaler.protocol.connection import Heartbeat, ResendFrom

WINDOW_BYTES = 16 << 20
#: An acknowledgement waits for a message to ride on: so long, or so many messages or bytes.
ACK_DELAY_S = 0.05
ACK_MESSAGES = 64
ACK_BYTES = 1 << 20
#: A gap is asked for again after this time, should the first asking or its answer be lost too.
ASK_AGAIN_S = 0.2
#: A peer that asks again and acknowledges nothing is answered after so long a pause, twice as long each time: it may
#: not be reading at all, and what is sent then fills our memory.
FIRST_RESEND_PAUSE_S = 0.1
LAST_RESEND_PAUSE_S = 10.0


class Packet(NamedTuple):
    """A message with its sequence number, 0 for one of the connection itself."""

    seq: int
    message: Sendable
    frames: tuple[Frame, ...]
    size_bytes: int = HEADER_BYTES


class Delivery(NamedTuple):
    """A message whose turn it is."""

    message: Sendable
    frames: tuple[Frame, ...]


class Link:
    """What was sent and not acknowledged, what waits, and what was received."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self._window_bytes = window_bytes
        self._attached = False
        self._last_seq = 0
        self._last_sent = 0
        #: sent on this or an earlier connection, not acknowledged, in order
        self._unacked: deque[Packet] = deque()
        self._unacked_bytes = 0
        #: not sent yet, in order; empty while the window has room and a connection stands
        self._waiting: deque[Packet] = deque()
        self._waiting_bytes = 0
        #: the last sequence number had without a gap
        self.received = 0
        self._asked_from = 0
        self._asked_at = 0.0
        self._resend_at = 0.0
        self._resend_pause_s = FIRST_RESEND_PAUSE_S
        self._unsaid_messages = 0
        self._unsaid_bytes = 0
        self._ack_due: float | None = None

    @property
    def backlog_bytes(self) -> int:
        """What the peer has not acknowledged yet, sent or not."""
        return self._unacked_bytes + self._waiting_bytes

    @property
    def room_bytes(self) -> int:
        """How much more can be sent before the window is full; never below 0."""
        return max(0, self._window_bytes - self.backlog_bytes)

    def send(self, message: Sendable, frames: tuple[Frame, ...] = ()) -> list[Packet]:
        """Number a message; what may be transmitted now."""
        self._last_seq += 1
        size = HEADER_BYTES + sum(map(len, frames)) if frames else HEADER_BYTES
        packet = Packet(self._last_seq, message, frames, size)
        if self._attached and not self._waiting and self._has_room(size):
            self._sent(packet)
            return [packet]
        self._waiting.append(packet)
        self._waiting_bytes += size
        return []

    def attach(self, received_by_peer: int) -> list[Packet]:
        """A connection stands: forget what the peer has, send the rest again."""
        self._attached = True
        self._acknowledge(received_by_peer)
        self._asked_from = 0
        self._resend_at = 0.0
        return [*self._unacked, *self._release()]

    def detach(self) -> None:
        """The connection is gone: everything waits."""
        self._attached = False
        self._ack_due = None

    def receive(self, header: Header, frames: tuple[Frame, ...], now: float) -> tuple[list[Delivery], list[Packet]]:
        """What to deliver, and what to transmit in answer."""
        self._acknowledge(header.ack)
        packets = self._release() if self._waiting else []
        if header.seq == 0:
            return [], packets + self._connection_message(header.message, now)
        if header.seq != self.received + 1:
            return [], packets + self._out_of_order(header.seq, now)
        self.received = header.seq
        self._note_unsaid(sum(map(len, frames)) if frames else 0, now)
        return [Delivery(header.message, frames)], packets

    def heartbeat(self, silence_s: float | None = None) -> Packet:
        """The message that says nothing but that we are here, how far we are, and how long the peer may be silent."""
        return Packet(0, Heartbeat(self._last_sent, silence_s), ())

    def said(self) -> None:
        """An acknowledgement has just been transmitted, with whatever message."""
        self._ack_due = None
        self._unsaid_messages = self._unsaid_bytes = 0

    def next_deadline(self) -> float | None:
        """When an acknowledgement that found no message to ride on must go by itself."""
        return self._ack_due

    def _connection_message(self, message: object, now: float) -> list[Packet]:
        match message:
            case ResendFrom(seq=seq) if now >= self._resend_at:
                self._resend_at = now + self._resend_pause_s
                self._resend_pause_s = min(LAST_RESEND_PAUSE_S, 2 * self._resend_pause_s)
                return [packet for packet in self._unacked if packet.seq >= seq]
            case Heartbeat(sent=sent) if sent > self.received:
                return self._ask(now)
            case _:
                return []

    def _out_of_order(self, seq: int, now: float) -> list[Packet]:
        if seq <= self.received:
            self._ack_due = now
            return []
        return self._ask(now)

    def _ask(self, now: float) -> list[Packet]:
        wanted = self.received + 1
        if self._asked_from == wanted and now < self._asked_at + ASK_AGAIN_S:
            return []
        self._asked_from, self._asked_at = wanted, now
        return [Packet(0, ResendFrom(wanted), ())]

    def _note_unsaid(self, size: int, now: float) -> None:
        self._unsaid_messages += 1
        self._unsaid_bytes += size
        if self._unsaid_messages >= ACK_MESSAGES or self._unsaid_bytes >= ACK_BYTES:
            self._ack_due = now
        elif self._ack_due is None:
            self._ack_due = now + ACK_DELAY_S

    def _acknowledge(self, ack: int) -> None:
        unacked = self._unacked
        if unacked and unacked[0].seq <= ack:
            self._resend_pause_s = FIRST_RESEND_PAUSE_S
        while unacked and unacked[0].seq <= ack:
            self._unacked_bytes -= unacked.popleft().size_bytes

    def _release(self) -> list[Packet]:
        released: list[Packet] = []
        while self._attached and self._waiting:
            if not self._has_room(self._waiting[0].size_bytes):
                break
            packet = self._waiting.popleft()
            self._waiting_bytes -= packet.size_bytes
            self._sent(packet)
            released.append(packet)
        return released

    def _has_room(self, size: int) -> bool:
        return not self._unacked or self._unacked_bytes + size <= self._window_bytes

    def _sent(self, packet: Packet) -> None:
        self._unacked_bytes += packet.size_bytes
        self._unacked.append(packet)
        self._last_sent = packet.seq
