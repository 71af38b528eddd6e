"""The dialling end of a link: a client's or a worker cluster's whole dealings with its connection. Pure.

One connection at a time; a fresh one is dialled when it is lost, soon at first, then each second. The link outlives
its connections, and ends when the scheduler answers as another incarnation, or knows us no more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import assert_never

from scaler.errors import (
    AuthenticationError,
    DisconnectedError,
    ScalerError,
    SchedulerError,
    VersionMismatchError,
)
from scaler.ids import Epoch, Incarnation, incarnation_of
from scaler.link.events import (
    Advised,
    Connected,
    ConnectionLost,
    Deliver,
    Dial,
    DialledEvent,
    DialledOutput,
    GaveUp,
    HangUp,
    LinkDown,
    LinkUp,
    Outgoing,
    PacketArrived,
    Slept,
    Transmit,
)
from scaler.link.link import Link, Packet
from scaler.link.versions import compatible, version_table
from scaler.protocol.codec import Header
from scaler.protocol.columns import Frame
from scaler.protocol.connection import Heartbeat, Hello, Rejected, Versions

FIRST_REDIAL_S = 0.1
LAST_REDIAL_S = 1.0
REFUSALS_TO_GIVE_UP = 3
#: a scheduler that accepted the connection answers the Hello within this time, or the connection is dropped
GREETING_S = 5.0
#: so often a heartbeat is sent at most, however impatient the scheduler is
LEAST_HEARTBEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class DialledConfig:
    """Who we are and how patient. `give_up_s` None: never; `refusal_help` tells what to do about a refused key.

    `secret` is what our incarnation is made of; only the scheduler is shown it.
    """

    role: str
    name: str
    secret: bytes = field(repr=False)
    versions: Versions
    heartbeat_interval_s: float
    give_up_s: float | None
    address: str
    refusal_help: str


class DialledLink:
    """Connects, greets, resumes, and hands messages through in order; see the module."""

    def __init__(self, config: DialledConfig, jitter: Callable[[], float]) -> None:
        self._config = config
        self._jitter = jitter
        self._link = Link()
        #: the scheduler the link is with; 0 before the first
        self._peer = Incarnation(0)
        self._generation = 0
        self._connected = False
        self._up = False
        self._ended = False
        self._refusals = 0
        self._redial_s = FIRST_REDIAL_S
        self._slept_s = 0.0
        #: when to dial; None while a connection stands or is being made
        self._dial_at: float | None = 0.0
        self._dialled_at = 0.0
        self._greet_by: float | None = None
        self._alone_since: float | None = None
        #: as often as we were told to, or as the scheduler needs
        self._heartbeat_interval_s = config.heartbeat_interval_s
        self._heartbeat_at: float | None = None
        self._last_reason = "no answer"

    @property
    def room_bytes(self) -> int:
        """How much may be said before the window is full; 0 while no link stands."""
        return self._link.room_bytes if self._up else 0

    @property
    def backlog_bytes(self) -> int:
        """What was said and is not acknowledged: 0 when all of it has arrived, so that a leaver may go."""
        return self._link.backlog_bytes

    @property
    def absence(self) -> str:
        """Where there is no scheduler, and why not, in words."""
        return f"{self._config.address} ({self._last_reason})"

    def handle(self, events: Iterable[DialledEvent], now: float) -> list[DialledOutput]:
        """What happened since, in order; what to do about it, in order."""
        outputs: list[DialledOutput] = []
        for event in events:
            if self._ended:
                break
            match event:
                case Outgoing(message, frames):
                    outputs += self._transmit(self._link.send(message, frames))
                case PacketArrived(header, frames):
                    outputs += self._arrived(header, frames, now - self._slept_s)
                case Connected():
                    outputs += self._greet(now - self._slept_s)
                case ConnectionLost(reason, refused):
                    outputs += self._lost(reason, now - self._slept_s, refused=refused)
                case Slept(seconds):
                    self._slept_s += seconds
                case _:
                    assert_never(event)
        if not self._ended:
            outputs += self._tick_link(now - self._slept_s) if self._up else self._tick(now - self._slept_s)
        if outputs:
            self._note_said(outputs, now - self._slept_s)
        return outputs

    def _note_said(self, outputs: list[DialledOutput], now: float) -> None:
        """Whatever was said last stands for a heartbeat, and for an acknowledgement if nothing came since."""
        for output in reversed(outputs):
            if type(output) is Transmit:
                self._heartbeat_at = now + self._heartbeat_interval_s
                if output.ack == self._link.received:
                    self._link.said()
                return

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        if self._ended:
            return None
        if self._up:
            due, heartbeat_at = self._link.next_deadline(), self._heartbeat_at
            if due is None or (heartbeat_at is not None and heartbeat_at < due):
                due = heartbeat_at
        else:
            times = (self._dial_at, self._greet_by, self._give_up_at())
            due = min((time for time in times if time is not None), default=None)
        return None if due is None else due + self._slept_s

    def _give_up_at(self) -> float | None:
        if self._config.give_up_s is None or self._alone_since is None:
            return None
        return self._alone_since + self._config.give_up_s

    def _tick(self, now: float) -> list[DialledOutput]:
        if self._alone_since is None:
            self._alone_since = now
        give_up_at = self._give_up_at()
        if give_up_at is not None and now >= give_up_at:
            return self._end(
                DisconnectedError(
                    f"no scheduler at {self._config.address} for {self._config.give_up_s:g} s ({self._last_reason}): "
                    "check that it runs, that the address is right and that no firewall is between"
                )
            )
        if self._dial_at is not None and now >= self._dial_at:
            self._dial_at = None
            self._dialled_at = now
            return [Dial()]
        if self._greet_by is not None and now >= self._greet_by:
            return [HangUp("no greeting"), *self._lost("the scheduler did not answer the greeting", now, refused=False)]
        return []

    def _tick_link(self, now: float) -> list[DialledOutput]:
        ack_due = self._link.next_deadline()
        heartbeat_due = self._heartbeat_at is not None and now >= self._heartbeat_at
        if heartbeat_due or (ack_due is not None and now >= ack_due):
            return self._transmit([self._link.heartbeat()])
        return []

    def _greet(self, now: float) -> list[DialledOutput]:
        self._connected = True
        self._greet_by = now + GREETING_S
        config = self._config
        hello = Hello(
            config.role,
            incarnation_of(config.secret),
            self._peer,
            self._link.received,
            self._generation,
            config.versions,
            config.name,
            secret=config.secret,
        )
        return [Transmit(0, 0, hello, ())]

    def _arrived(self, header: Header, frames: tuple[Frame, ...], now: float) -> list[DialledOutput]:
        if not self._connected:
            return []
        outputs: list[DialledOutput] = []
        if header.seq == 0:  # else it cannot be one of these
            match header.message:
                case Hello() as hello:
                    return [] if self._up else self._greeted(hello, now)
                case Rejected() as rejected:
                    return self._rejected(rejected, now)
                case Heartbeat(silence_s=float(silence_s)) if self._up:
                    outputs += self._keep_within(silence_s, now)
        if not self._up:
            return []
        deliveries, packets = self._link.receive(header, frames, now)
        outputs += [Deliver(message, behind) for message, behind in deliveries]
        return outputs + self._transmit(packets) if packets else outputs

    def _keep_within(self, silence_s: float, now: float) -> list[DialledOutput]:
        """Send heartbeats as often as the scheduler needs: twice in the time it lets us be silent."""
        asked_s, before_s = self._config.heartbeat_interval_s, self._heartbeat_interval_s
        interval_s = self._heartbeat_interval_s = min(asked_s, max(LEAST_HEARTBEAT_S, silence_s / 2))
        if interval_s == before_s:
            return []
        if self._heartbeat_at is not None:
            self._heartbeat_at = min(self._heartbeat_at, now + interval_s)
        if interval_s == asked_s:
            return []
        return [
            Advised(
                f"a heartbeat each {asked_s:g} s is too seldom: the scheduler at {self._config.address} gives up "
                f"whoever is silent for {silence_s:g} s; one is sent each {interval_s:g} s"
            )
        ]

    def _greeted(self, hello: Hello, now: float) -> list[DialledOutput]:
        if not compatible(self._config.versions, hello.versions):
            return self._end(_mismatch(self._config.versions, hello.versions))
        if hello.generation < self._generation:
            reason = "an older scheduler answers there"
            return [HangUp(reason), *self._lost(reason, now, refused=False)]
        self._generation = hello.generation
        resumed = hello.resumed and hello.incarnation == self._peer
        if not resumed:
            self._link = Link()
            self._peer = hello.incarnation
        self._up = True
        self._refusals = 0
        self._redial_s = FIRST_REDIAL_S
        self._greet_by = self._alone_since = None
        packets = self._link.attach(hello.received if resumed else 0)
        return [LinkUp(Epoch(hello.incarnation), resumed), *self._transmit([*packets, self._link.heartbeat()])]

    def _rejected(self, rejected: Rejected, now: float) -> list[DialledOutput]:
        match rejected.code:
            case "version":
                return self._end(_mismatch(self._config.versions, rejected.versions))
            case "full":
                return [HangUp(rejected.text), *self._lost(rejected.text, now, refused=False)]
            case _:
                return self._end(SchedulerError(f"the scheduler at {self._config.address} refuses us: {rejected.text}"))

    def _lost(self, reason: str, now: float, *, refused: bool) -> list[DialledOutput]:
        was_up = self._up
        # an attempt that nobody answered has been a pause already
        waited_s = 0.0 if self._connected else now - self._dialled_at
        self._last_reason = reason
        self._connected = self._up = False
        self._greet_by = None
        self._link.detach()
        if self._alone_since is None:
            self._alone_since = now
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= REFUSALS_TO_GIVE_UP:
            return self._end(AuthenticationError(f"{self._config.address}: {self._config.refusal_help}"))
        spread = 0.5 + self._jitter()
        self._dial_at = now + max(FIRST_REDIAL_S * spread, self._redial_s * spread - waited_s)
        self._redial_s = min(LAST_REDIAL_S, self._redial_s * 1.5)
        return [LinkDown(reason)] if was_up else []

    def _end(self, error: ScalerError) -> list[DialledOutput]:
        self._ended = True
        self._up = self._connected = False
        return [HangUp(str(error)), GaveUp(error)]

    def _transmit(self, packets: list[Packet]) -> list[DialledOutput]:
        ack = self._link.received
        return [Transmit(packet.seq, ack, packet.message, packet.frames) for packet in packets]


def _mismatch(ours: Versions, theirs: Versions) -> VersionMismatchError:
    return VersionMismatchError("this process and the scheduler do not fit together:\n" + version_table(ours, theirs))
