"""The connections between this cluster and others: those that come to its door, and those to other doors.

No link lies above them: what was asked for on one that ends is asked for elsewhere. Nothing here decides what is asked.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from scaler.errors import AddressError, ProtocolError
from scaler.ids import ObjectId
from scaler.net.addresses import TcpAddress
from scaler.net.background import in_background
from scaler.net.keys import new_key_pair
from scaler.net.transport import Arrived, Connected, Dialer, Listener, Lost, Opened, TurnedAway
from scaler.net.zap import OneKey
from scaler.net.zmq_dialer import PeerDialing
from scaler.net.zmq_listener import ZmqListener
from scaler.pieces import MOST_PIECES
from scaler.protocol import Door, ObjectsDropped, PeerPass, ToPeer
from scaler.protocol.codec import Decoder, Unlinked, pack
from scaler.protocol.columns import MAX_FRAME_BYTES, Frame
from scaler.refusals import Refusals
from scaler.worker.agent_peer_events import (
    AnswerPeer,
    AskPeer,
    PeerAsked,
    PeerCommand,
    PeerEvent,
    PeerGone,
    PeerLeft,
    PeerSaid,
    UsePass,
)
from scaler.worker.watch import Watch

#: so many messages of one connection are taken in at a turn
MOST_MESSAGES = 50
#: a connection that nothing was asked on for so long is closed
IDLE_S = 60.0
#: who is silent for so long though pieces were asked for is left: it may wait itself, or live and say nothing
SILENT_S = 15.0
#: where nobody answered it is not tried again for so long
SHUT_S = 30.0
#: so many doors are called at a time; each takes ten descriptors
MOST_DOORS = 12
#: how often the house is kept
HOUSEKEEPING_S = 1.0
#: who does not read what it asked for is cut off when so many pieces wait for it
MOST_QUEUED = 64

log = logging.getLogger("scaler.worker")


@dataclass(slots=True)
class _Called:
    """A connection to a door; `used_at` is when anything was said there last, `owed` the pieces it has not sent yet."""

    dialer: Dialer
    used_at: float
    owed: dict[ObjectId, int] = field(default_factory=dict)

    def has_said(self, message: ToPeer) -> None:
        """It has answered."""
        if isinstance(message, ObjectsDropped):
            for name in message.objects:
                self.owed.pop(name, None)
        elif message.object in self.owed:
            self.owed[message.object] -= 1
            if not self.owed[message.object]:
                del self.owed[message.object]


class Peers:
    """All of them; `take_events` tells what others have asked and answered since it was last called."""

    def __init__(self, watch: Watch, clock: Callable[[], float]) -> None:
        self._watch = watch
        self._clock = clock
        #: what is shown at our own door; 0 while there is none
        self.port = 0
        self.key, secret = new_key_pair()
        self._keys = OneKey(self.key.encode(), secret.encode())
        self._pass: PeerPass | None = None
        self._listener: Listener | None = None
        self._asked = Decoder("peer")
        self._answered = Decoder("to-peer")
        self._dialing = PeerDialing()
        self._called: dict[Door, _Called] = {}
        #: doors where nobody answers, and until when that is believed
        self._shut: dict[Door, float] = {}
        self._refusals = Refusals(log.warning)
        #: something may have come, of which descriptors have told or will not tell again
        self._is_awake = False
        self._keep_house_at = 0.0

    def open(self, port: int) -> None:
        """Let others come, at this port or, for 0, at any; they are told how to find it by the scheduler."""
        for host in ("::", "0.0.0.0"):  # noqa: S104  # of IPv6 and IPv4, where both are; who has no pass is not let in
            try:
                with in_background():
                    listener = ZmqListener(
                        TcpAddress(host, port), self._keys, largest_bytes=MAX_FRAME_BYTES, most_queued=MOST_QUEUED
                    )
                break
            except AddressError as error:
                refusal = error
        else:
            log.warning("other clusters fetch what is here through the scheduler: %s", refusal)
            return
        self._listener = listener
        self.port = int(listener.address.rpartition(":")[2])
        for descriptor in listener.filenos():
            self._watch.watch(descriptor, self._awake)

    def _awake(self) -> None:
        self._is_awake = True

    @property
    def has_news(self) -> bool:
        """Whether something may have come."""
        return self._is_awake

    # ---- what comes

    def take_events(self) -> list[PeerEvent]:
        """What has happened, in order for each connection."""
        now = self._clock()
        events: list[PeerEvent] = []
        if now >= self._keep_house_at:
            self._keep_house(now, events)
        if not self._is_awake:
            return events
        self._is_awake = False
        if self._listener is not None:
            self._hear_askers(self._listener, events)
        for door, called in list(self._called.items()):
            self._hear_answers(door, called, events, now)
        return events

    def _hear_askers(self, listener: Listener, events: list[PeerEvent]) -> None:
        arrived = listener.receive(MOST_MESSAGES)
        asked: Counter[int] = Counter()
        for event in arrived:
            match event:
                case Arrived(connection, frames):
                    try:
                        events += self._take_in(connection, frames, asked)
                    except ProtocolError as error:
                        self._refuse(f"refused connection={connection} reason={str(error)!r} socket=door")
                        listener.cut_off(connection)
                        events.append(PeerLeft(connection))
                case Lost(connection, _, _):
                    events.append(PeerLeft(connection))
                case TurnedAway(address, reason):
                    self._refuse(f"refused address={address} reason={reason!r} socket=door")
                case Opened():
                    continue
                case _:
                    assert_never(event)
        self._is_awake |= bool(arrived) or listener.pending()

    def _take_in(self, connection: int, frames: Sequence[Frame], asked: Counter[int]) -> list[PeerEvent]:
        wanted = [header.message for header in self._asked.decode(frames)]
        asked[connection] += sum(min(one.count, MOST_PIECES + 1) for one in wanted)
        if asked[connection] > MOST_PIECES:
            raise ProtocolError(f"it asks for more than {MOST_PIECES} pieces at a time")
        return [PeerAsked(connection, one) for one in wanted]

    def _refuse(self, text: str) -> None:
        self._refusals.report(text, self._clock())

    def _hear_answers(self, door: Door, called: _Called, events: list[PeerEvent], now: float) -> None:
        arrived = called.dialer.receive(MOST_MESSAGES)
        for event in arrived:
            match event:
                case Arrived(_, frames):
                    called.used_at = now
                    try:
                        headers = self._answered.decode(frames)
                    except ProtocolError as error:
                        return self._lose(door, f"it sent what is no message: {error}", events)
                    for header in headers:
                        called.has_said(header.message)
                        events.append(PeerSaid(door, header.message, header.frames))
                case Lost(_, reason, _):
                    return self._lose(door, reason, events)
                case Connected():
                    continue
                case _:
                    assert_never(event)
        self._is_awake |= bool(arrived) or called.dialer.pending()
        return None

    def _lose(self, door: Door, reason: str, events: list[PeerEvent]) -> None:
        log.info("another cluster cannot be asked address=%s reason=%r", door.address, reason)
        self._hang_up(door)
        self._shut[door] = self._clock() + SHUT_S
        events.append(PeerGone(door))

    # ---- what is asked for

    def perform(self, command: PeerCommand) -> PeerEvent | None:
        """Do it; returns what is to be told in the same turn."""
        match command:
            case AskPeer(door, wanted):
                called = self._call(door)
                if called is None:
                    return PeerGone(door)
                called.used_at = self._clock()
                called.owed[wanted.object] = called.owed.get(wanted.object, 0) + wanted.count
                for frames in pack([Unlinked(wanted)]):
                    called.dialer.send(frames)
                self._is_awake = True
            case AnswerPeer(connection, message, frames):
                self._answer(connection, Unlinked(message, frames))
            case UsePass(shown):
                self._pass = shown
                self._keys.admit(shown.public.encode())
                self._shut.clear()
            case _:
                assert_never(command)
        return None

    def _answer(self, connection: int, said: Unlinked) -> None:
        if self._listener is not None:
            for frames in pack([said]):
                self._listener.send(connection, frames)  # one that is gone is told of
            self._is_awake = True

    def _call(self, door: Door) -> _Called | None:
        called = self._called.get(door)
        if called is not None:
            return called
        now = self._clock()
        if self._pass is None or self._shut.get(door, 0.0) > now or len(self._called) >= MOST_DOORS:
            return None
        dialer = self._dialing.dial(door.address, self._pass.public, self._pass.secret, door.key)
        for descriptor in dialer.filenos():
            self._watch.watch(descriptor, self._awake)
        called = self._called[door] = _Called(dialer, now)
        return called

    def _hang_up(self, door: Door) -> None:
        dialer = self._called.pop(door).dialer
        for descriptor in dialer.filenos():
            self._watch.forget(descriptor)
        dialer.close()

    # ---- time

    def next_deadline(self) -> float | None:
        """When the house is to be kept."""
        return self._keep_house_at if self._listener is not None or self._called else None

    def _keep_house(self, now: float, events: list[PeerEvent]) -> None:
        self._keep_house_at = now + HOUSEKEEPING_S
        self._refusals.tick(now)
        if self._listener is not None:
            self._listener.keep_house()
        for door, called in list(self._called.items()):
            if called.owed and called.used_at + SILENT_S < now:
                self._lose(door, f"it has said nothing for {SILENT_S:g} s", events)
            elif called.used_at + IDLE_S < now:
                self._hang_up(door)
        self._shut = {door: until for door, until in self._shut.items() if until > now}

    def close(self) -> None:
        """Nothing is open any more."""
        for door in list(self._called):
            self._hang_up(door)
        if self._listener is not None:
            for descriptor in self._listener.filenos():
                self._watch.forget(descriptor)
            self._listener.close()
            self._listener = None
        self._dialing.close()
