"""A network below the links: connections that delay, drop, repeat and reorder packets, break, and lie silent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Protocol

from scaler.protocol.codec import Decoder, Header, pack
from scaler.protocol.columns import Frame
from tests.simulation.clock import Clock

#: A header and the frames behind it. Most histories do not encode them: the codec has tests of its own.
Packet = tuple[Header, tuple[Frame, ...]]

HANDSHAKE_S = 0.002
#: a dialler hears after this time that nobody listens
REFUSED_S = 0.2
#: the transport's own heartbeats: a dialler hangs up on a host that is silent for so long
UNANSWERED_S = 4.0


class End(Protocol):
    """One end of a connection."""

    def connected(self, wire: "Wire") -> None: ...
    def arrived(self, wire: "Wire", packets: list[Packet]) -> None: ...
    def lost(self, wire: "Wire", reason: str) -> None: ...


@dataclass(slots=True)
class Weather:
    """How packets of one host fare for now: chances of each mishap, and the delay in seconds."""

    drop: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0005
    #: nothing passes at all, since then
    silent_since: float | None = None

    @property
    def silent(self) -> bool:
        """Whether nothing passes."""
        return self.silent_since is not None

    @property
    def is_rough(self) -> bool:
        """Whether packets fare differently from each other."""
        return bool(self.drop or self.repeat or self.reorder)


FAIR = Weather()


@dataclass(slots=True, eq=False)
class Wire:
    """One connection: a number, its dialler and what that is, and until when each direction is busy."""

    number: int
    dialer: End
    host: str
    role: str
    open: bool = True
    #: when the last packets on their way arrive: [to the dialler, to the listener]
    busy: list[float] = field(default_factory=lambda: [0.0, 0.0])


class Network:
    """All hosts, one listener, and every connection between them."""

    def __init__(self, clock: Clock, chance: Random, *, is_encoding: bool) -> None:
        self._clock = clock
        self._is_encoding = is_encoding
        self._random = chance.random
        self._wires = 0
        self.listener: End | None = None
        #: the scheduler's process stands still, its transport with it
        self.is_stopped = False
        #: open or being opened
        self.wires: dict[int, Wire] = {}
        #: of the hosts where it is not fair
        self._weather: dict[str, Weather] = {}

    def _weather_of(self, host: str) -> Weather:
        return self._weather.get(host, FAIR)

    # ---- connections

    def dial(self, dialer: End, host: str, role: str) -> Wire:
        """Try to connect; the dialler hears `connected` or `lost`."""
        self._wires += 1
        wire = self.wires[self._wires] = Wire(self._wires, dialer, host, role)
        self._clock.after(HANDSHAKE_S, lambda: self._accept(wire))
        return wire

    def _accept(self, wire: Wire) -> None:
        if not wire.open:
            return
        if self.listener is None or self.is_stopped or self._weather_of(wire.host).silent:
            self._forget(wire)
            self._clock.after(REFUSED_S, lambda: wire.dialer.lost(wire, "nobody listens there"))
            return
        self.listener.connected(wire)
        wire.dialer.connected(wire)

    def close(self, wire: Wire, *, by_dialer: bool) -> None:
        """One end closes; the other hears of it a little later, or much later where it is silent."""
        if not wire.open:
            return
        self._forget(wire)
        is_silent = self._weather_of(wire.host).silent
        if not by_dialer:
            delay_s = UNANSWERED_S if is_silent else 0.001
            self._clock.after(delay_s, lambda: wire.dialer.lost(wire, "closed by the scheduler"))
        elif not is_silent:
            self._tell_listener(wire, 0.001)

    def cut(self, host: str, told_s: Callable[[], float]) -> None:
        """Break the connections of a host; each end hears of it `told_s()` seconds later."""
        for wire in [wire for wire in self.wires.values() if wire.host == host]:
            self._forget(wire)
            self._clock.after(told_s(), lambda wire=wire: wire.dialer.lost(wire, "cut"))
            self._tell_listener(wire, told_s())

    def _tell_listener(self, wire: Wire, delay_s: float) -> None:
        listener = self.listener
        if listener is not None:
            self._clock.after(delay_s, lambda: listener.lost(wire, "closed"))

    def listener_died(self) -> None:
        """The scheduler's process is gone: every connection breaks."""
        self.listener = None
        for wire in list(self.wires.values()):
            self.close(wire, by_dialer=False)

    def weather_at(self, host: str) -> Weather:
        """The weather at a host, to be changed."""
        return self._weather.setdefault(host, Weather())

    def fall_silent(self, host: str) -> None:
        """Nothing passes any more; diallers notice in time, the listener does not."""
        since = self.weather_at(host).silent_since = self._clock.now
        self._clock.after(UNANSWERED_S, lambda: self._unanswered(host, since))

    def _unanswered(self, host: str, since: float) -> None:
        if self._weather_of(host).silent_since == since:
            for wire in [wire for wire in self.wires.values() if wire.host == host]:
                self._forget(wire)
                wire.dialer.lost(wire, "no answer")

    def is_silent(self, host: str) -> bool:
        """Whether nothing passes there."""
        return self._weather_of(host).silent

    def leave_unanswered(self) -> None:
        """If the scheduler still stands still, it has for too long: every dialler hangs up."""
        if not self.is_stopped:
            return
        for wire in list(self.wires.values()):
            self.close(wire, by_dialer=True)
            wire.dialer.lost(wire, "no answer")

    def clear_up(self) -> None:
        """The weather is fair again everywhere."""
        self._weather.clear()

    def _forget(self, wire: Wire) -> None:
        wire.open = False
        self.wires.pop(wire.number, None)

    # ---- packets

    def send(self, wire: Wire, packets: list[Packet], *, up: bool) -> None:
        """Carry packets to the listener (`up`) or to the dialler, if the weather lets them."""
        weather = self._weather.get(wire.host, FAIR)
        if not wire.open or weather.silent_since is not None:
            return
        if self._is_encoding:
            packets = _through_the_codec(packets, wire.role if up else f"to-{wire.role}")
        if weather.is_rough:
            self._send_roughly(wire, weather, packets, up=up)
        else:
            self._send_in_turn(wire, self._due(weather), packets, up=up)

    def _due(self, weather: Weather) -> float:
        return self._clock.now + weather.delay_s * (0.5 + self._random())

    def _send_in_turn(self, wire: Wire, due: float, packets: list[Packet], *, up: bool) -> None:
        due = wire.busy[up] = max(due, wire.busy[up])
        self._clock.at(due, partial(self._deliver, wire, packets, up))

    def _send_roughly(self, wire: Wire, weather: Weather, packets: list[Packet], *, up: bool) -> None:
        for packet in packets:
            if weather.drop and self._random() < weather.drop:
                continue
            copies = 2 if weather.repeat and self._random() < weather.repeat else 1
            for _ in range(copies):
                due = self._due(weather)
                if weather.reorder and self._random() < weather.reorder:
                    self._clock.at(due, partial(self._deliver, wire, [packet], up))
                else:
                    self._send_in_turn(wire, due, [packet], up=up)

    def _deliver(self, wire: Wire, packets: list[Packet], up: bool) -> None:  # noqa: FBT001  # it goes into a partial
        if not wire.open or self._weather.get(wire.host, FAIR).silent_since is not None:
            return
        end = self.listener if up else wire.dialer
        if end is not None:
            end.arrived(wire, packets)


@cache
def _decoder(direction: str) -> Decoder:
    return Decoder(direction)


def _through_the_codec(packets: list[Packet], direction: str) -> list[Packet]:
    """What the other end reads of what one end writes: the same."""
    written = pack([Header(header.seq, header.ack, header.message, frames) for header, frames in packets])
    read = [(header, header.frames) for frames in written for header in _decoder(direction).decode(frames)]
    for (sent, sent_frames), (header, frames) in zip(packets, read, strict=True):
        assert (sent.seq, sent.ack, sent.message) == (header.seq, header.ack, header.message), f"{sent} became {header}"
        assert list(map(bytes, sent_frames)) == list(map(bytes, frames)), f"the frames of {sent} are others"
    return read
