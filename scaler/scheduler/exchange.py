"""The scheduler's inner round: transport to links to core and back. No sockets of its own, no timers, no decisions.

One `turn` drains what has come (at most `MAX_EVENTS`, or `MAX_DRAIN_S`, or about `MAX_HEADERS`), lets the links and the
core handle it once each, and performs what they ask for.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, assert_never

from scaler.core import events as core
from scaler.durable.works import Works
from scaler.errors import ProtocolError
from scaler.ids import Incarnation
from scaler.link.accepted import AcceptedLinks
from scaler.link.events import (
    AcceptedEvent,
    AcceptedOutput,
    ArrivedFrom,
    AwaitRoom,
    ConnectionEnded,
    ConnectionOpened,
    CutConnection,
    DeliverFrom,
    EndLink,
    Garbage,
    Gone,
    Joined,
    OutgoingTo,
    Refused,
    RoomFound,
    Slept,
    Superseded,
    TransmitOn,
)
from scaler.net.transport import Arrived, Listener, ListenerEvent, Lost, Opened, TurnedAway
from scaler.protocol import Output
from scaler.protocol.codec import DIRECTIONS, Decoder, pack
from scaler.refusals import Refusals
from scaler.scheduler.notes import Notes
from scaler.scheduler.stream import MonitorStream

MAX_EVENTS = 500
MAX_DRAIN_S = 0.002
#: a turn takes in no further message once it has so many headers; one peer may lay a thousand in each
MAX_HEADERS = 1000
#: `receive` is asked for so many at a time, that the clock is looked at between
DRAIN_STEP = 50
#: a peer that has so much to take in first is not told what its tasks print
MAX_BACKLOG_BYTES = 1 << 20

log = logging.getLogger("scaler.scheduler")


class Core(Protocol):
    """What the exchange needs of the scheduler core."""

    def handle(self, events: Iterable[core.Event], now: float) -> list[core.Command]:
        """Events in, commands out."""
        ...

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        ...


class Exchange:
    """Carries everything between one listener, all links, and the core."""

    def __init__(
        self,
        listener: Listener,
        links: AcceptedLinks,
        scheduler: Core,
        stream: MonitorStream,
        refusals: Refusals,
        works: Works | None = None,
    ) -> None:
        self._works = Works(_nobody) if works is None else works
        self._listener = listener
        self._links = links
        self._core = scheduler
        self._stream = stream
        self._refusals = refusals
        self._notes = Notes(_log_note)
        #: what has arrived and is not decoded, since the last turn had enough
        self._undecoded: Sequence[ListenerEvent] = ()
        self._decoders = {direction: Decoder(direction) for direction in DIRECTIONS}
        #: why the process is to end, once it is
        self.stopped: str | None = None
        self.is_superseded = False
        #: what came up behind the core's back in the last turn
        self._left: list[core.Event] = []
        #: connections that a message of ours cannot be sent on
        self._unsayable: list[AcceptedEvent] = []

    def turn(self, clock: Callable[[], float], own: Iterable[core.Event] = (), slept_s: float = 0.0) -> bool:
        """One round, with the shell's `own` events for the core; whether more is waiting already."""
        arrived = self._drain(clock)
        now = clock()
        events, self._unsayable = [*self._unsayable, *arrived], []
        for_core: list[core.Event] = [*self._left, *own]
        if slept_s:
            events.insert(0, Slept(slept_s))
            for_core.insert(0, core.Slept(slept_s))
        for_core += self._perform_links(self._links.handle(events, now), now)
        for_core += self._stream_events(now)
        works = self._works
        commands = works.take_out(self._core.handle(works.take_in(for_core, now), now), now)
        said = self._perform(commands, now)
        for note in works.take_notes():
            log.warning("%s", note)
        self._left = self._perform_links(self._links.handle(said, now), now) if said else []
        self._stream.tick(now)
        return bool(self._left or self._unsayable or self._undecoded or works.doings.core) or self._listener.pending()

    def keep_house(self, now: float) -> None:
        """What need not be done each turn."""
        self._notes.tick(now)

    def next_deadline(self) -> float | None:
        """When the next turn is due though nothing comes."""
        parts = (self._links, self._core, self._stream, self._works)
        times = [part.next_deadline() for part in parts]
        return min((time for time in times if time is not None), default=None)

    def _drain(self, clock: Callable[[], float]) -> list[AcceptedEvent]:
        events: list[AcceptedEvent] = []
        until = None
        for _ in range(MAX_EVENTS // DRAIN_STEP):
            arrived = self._undecoded or self._listener.receive(DRAIN_STEP)
            self._undecoded = self._decode(arrived, events, clock)
            if self._undecoded or len(arrived) < DRAIN_STEP:
                break
            now = clock()
            until = now + MAX_DRAIN_S if until is None else until
            if now >= until:
                break
        return events

    def _decode(
        self, arrived: Sequence[ListenerEvent], events: list[AcceptedEvent], clock: Callable[[], float]
    ) -> Sequence[ListenerEvent]:
        """Put what has arrived behind the events of this turn; what is too much for it is returned."""
        for position, one in enumerate(arrived, 1):
            events += self._link_events(one, clock)
            if len(events) >= MAX_HEADERS:
                return arrived[position:]
        return ()

    def _stream_events(self, now: float) -> list[core.Event]:
        events, turned_away = self._stream.events(now)
        for one in turned_away:
            self._refusals.report(f"refused address={one.address} reason={one.reason!r} socket=monitor", now)
        return events

    def _link_events(self, event: ListenerEvent, clock: Callable[[], float]) -> list[AcceptedEvent]:
        match event:
            case Arrived(connection, frames):
                try:
                    decoder = self._decoders[self._links.direction_of(connection)]
                    return [ArrivedFrom(connection, header, header.frames) for header in decoder.decode(frames)]
                except ProtocolError as error:
                    return [Garbage(connection, str(error))]
            case Opened(connection, identity, address):
                return [ConnectionOpened(connection, identity.role, identity.name, identity.key, address)]
            case Lost(connection, reason, refused):
                return [ConnectionEnded(connection, reason, refused)]
            case TurnedAway(address, reason):
                self._refusals.report(f"refused address={address} reason={reason!r}", clock())
                return []
            case _:
                assert_never(event)

    def _perform_links(self, outputs: list[AcceptedOutput], now: float) -> list[core.Event]:
        events: list[core.Event] = []
        packets: dict[int, list[TransmitOn]] = {}
        for output in outputs:
            match output:
                case TransmitOn(connection):
                    packets.setdefault(connection, []).append(output)
                case DeliverFrom(peer, message, frames):
                    events.append(core.Received(peer, message, frames))  # type: ignore[arg-type]  # its decoder says so
                case Joined(peer, role, name, key_name, address):
                    events.append(core.PeerJoined(peer, role, name, key_name, address))
                case RoomFound(peer, room_bytes):
                    events.append(core.RoomFound(peer, room_bytes))
                case Gone(peer, reason):
                    events.append(core.PeerLost(peer, reason))
                case CutConnection(connection):
                    self._transmit(connection, packets.pop(connection, []))
                    self._listener.cut_off(connection)
                case Refused(connection, name, reason, address):
                    text = f"refused connection={connection} address={address} key={name!r} reason={reason!r}"
                    self._refusals.report(text, now)
                case Superseded(generation):
                    self.is_superseded = True
                    self.stopped = f"a scheduler of generation {generation} has taken over"
                case _:
                    assert_never(output)
        for connection, together in packets.items():
            self._transmit(connection, together)
        return events

    def _transmit(self, connection: int, packets: list[TransmitOn]) -> None:
        try:
            packed = pack(packets)
        except ValueError as error:  # a message of ours that no header holds: the others must not wait for it for ever
            log.exception("cannot tell peer on connection %d what it has to know, and let it go", connection)
            self._unsayable.append(Garbage(connection, str(error)))
            return
        for frames in packed:
            if not self._listener.send(connection, frames):
                return

    def _perform(self, commands: list[core.Command], now: float) -> list[AcceptedEvent]:
        events: list[AcceptedEvent] = []
        for command in commands:
            match command:
                case core.Send(peer, Output()) if self._links.backlog_bytes(peer) > MAX_BACKLOG_BYTES:
                    continue
                case core.Send(peer, message, frames):
                    events.append(OutgoingTo(peer, message, frames))
                case core.AwaitRoom(peer, room_bytes):
                    events.append(AwaitRoom(peer, room_bytes))
                case core.CutOff(peer, reason):
                    events.append(EndLink(peer, reason))
                case core.Note():
                    self._notes.report(command, now)
                case core.Publish(spans):
                    self._stream.publish_spans(spans, now)
                case core.Stop(reason):
                    self.stopped = reason
                case _:
                    assert_never(command)
        return events


def _nobody() -> Incarnation:
    return Incarnation(0)


def _log_note(note: core.Note) -> None:
    log.log(logging.getLevelName(note.level.upper()), note.text, extra={"fields": note.fields})
