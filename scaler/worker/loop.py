"""The loop of a worker cluster: carries everything between the connection, the link, the agent and the workers.

It sleeps until a descriptor, a deadline or a signal; then one turn takes in what has come, lets the link and the agent
decide once, and does what they ask. After any call on the connection it is asked again before the loop sleeps, since
ZeroMQ's descriptors tell of changes only.
"""

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from scaler.errors import ProtocolError, ScalerError
from scaler.link import events as link
from scaler.link.dialled import DialledLink
from scaler.net.transport import Arrived, Connected, Dialer, DialerEvent, Lost
from scaler.protocol.codec import Decoder, pack
from scaler.worker import agent_events as agent
from scaler.worker.agent_peer_events import AnswerPeer, AskPeer, UsePass
from scaler.worker.peers import Peers
from scaler.worker.poller import Poller
from scaler.worker.workers import Workers

#: so many messages are taken in at a turn, or for so long
MOST_MESSAGES = 500
DRAIN_STEP = 50
DRAIN_S = 0.002
#: a wake-up this late means that the process stood still
SLEPT_S = 5.0
#: how long what was said last may take to arrive
PARTING_S = 1.0
#: how long the agent may take to hand everything back, beyond the grace it was given
STOPPING_S = 3.0
#: a scheduler that is not there for so long is told of
LONELY_S = 2.0

log = logging.getLogger("scaler.worker")


class AgentCore(Protocol):
    """What the loop needs of the agent."""

    def handle(self, events: Iterable[agent.Event], now: float) -> list[agent.Command]:
        """Events in, commands out."""
        ...

    def next_deadline(self) -> float | None:
        """When to call `handle` again though nothing happens."""
        ...


class Dials(Protocol):
    """Makes connections."""

    def dial(self) -> Dialer:
        """A new connection, not established yet."""
        ...


class Loop:
    """The loop, and the connection it holds."""

    def __init__(
        self,
        grace_s: float,
        poller: Poller,
        dials: Dials,
        dialled: DialledLink,
        core: AgentCore,
        workers: Workers,
        peers: Peers,
    ) -> None:
        self._grace_s = grace_s
        self._poller = poller
        self._dials = dials
        self._link = dialled
        self._agent = core
        self._workers = workers
        self._peers = peers
        self._clock = time.monotonic
        self._decoder = Decoder("to-worker")
        self._dialer: Dialer | None = None
        self._due: float | None = None
        #: when the link and the agent want to be asked though nothing came, as they said before the last sleep
        self._link_due: float | None = 0.0
        self._agent_due: float | None = 0.0
        #: for the agent, from outside of the turns
        self._own: list[agent.Event] = []
        self._end: agent.End | None = None
        self._error: ScalerError | None = None
        self._stop_by: float | None = None
        #: when to tell that there is no scheduler; None if that is told, or there is one
        self._tell_alone_at: float | None = self._clock() + LONELY_S

    def serve(self) -> int:
        """Run until the agent has ended its work; the exit code. Raises why there will be no scheduler any more."""
        while True:
            self._turn()
            if self._error is not None:
                raise self._error
            if self._end is not None:
                self._part()
                return self._ended(self._end)
            if self._stop_by is not None and self._clock() >= self._stop_by:
                log.warning("ClusterProcess: ended before everything was handed back")
                return 1
            self._sleep()

    def _ended(self, end: agent.End) -> int:
        if end.exit_code:
            where = f" at {self._link.absence}" if end.exit_code == 1 else ""
            log.error("ClusterProcess: ended, %s%s", end.reason, where)
        else:
            log.info("ClusterProcess: ended, %s", end.reason)
        return end.exit_code

    def stop(self, reason: str, *, at_once: bool) -> None:
        """Have the agent end everything, now or when running tasks have had their grace."""
        log.info("ClusterProcess: stopping, %s", reason)
        grace_s = 0.0 if at_once else self._grace_s
        self._own.append(agent.StopAsked(grace_s, reason))
        stop_by = self._clock() + grace_s + STOPPING_S
        self._stop_by = stop_by if self._stop_by is None else min(stop_by, self._stop_by)

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop before."""
        return self._stop_by is not None

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._dialer is not None:
            for descriptor in self._dialer.filenos():
                self._poller.forget(descriptor)
            self._dialer.close()
            self._dialer = None

    # ---- one turn

    def _turn(self) -> None:
        now = self._clock()
        arrived, told = self._took_notice(now)
        arrived += self._drain()
        self._workers.look_around()
        if arrived or (self._link_due is not None and self._link_due <= now):
            told += self._perform_link(self._link.handle(arrived, now))
        self._tell_alone(now)
        told += self._workers.take_events()
        told += self._peers.take_events()
        own, self._own = self._own, []
        self._tell_agent([*own, *told], now)
        self._workers.listen(listens=self._link.room_bytes > 0)

    def _took_notice(self, now: float) -> tuple[list[link.DialledEvent], list[agent.Event]]:
        """What is to be told to both if this process stood still."""
        late_s = 0.0 if self._due is None else now - self._due
        if late_s <= SLEPT_S:
            return [], []
        log.warning("the process stood still seconds=%.1f", late_s)
        return [link.Slept(late_s)], [agent.Slept(late_s)]

    def _tell_alone(self, now: float) -> None:
        if self._tell_alone_at is not None and now >= self._tell_alone_at:
            log.warning("waiting for a scheduler at %s", self._link.absence)
            self._tell_alone_at = None

    def _tell_agent(self, told: list[agent.Event], now: float) -> None:
        if not told and (self._agent_due is None or self._agent_due > now):
            return
        while True:
            said: list[link.DialledEvent] = []
            answers: list[agent.Event] = []
            for command in self._agent.handle(told, now):
                self._perform(command, said, answers)
            if said:
                answers += self._perform_link(self._link.handle(said, now))
            if not answers:
                return
            told = answers

    def _perform(self, command: agent.Command, said: list[link.DialledEvent], answers: list[agent.Event]) -> None:
        match command:
            case agent.Say(message, frames):
                said.append(link.Outgoing(message, frames))
            case agent.Note(level, text, fields):
                log.log(logging.getLevelName(level.upper()), text, extra={"fields": fields})
            case agent.End():
                self._end = command
            case AskPeer() | AnswerPeer() | UsePass():
                if (said_by_peer := self._peers.perform(command)) is not None:
                    answers.append(said_by_peer)
            case _:
                answer = self._workers.perform(command)
                if answer is not None:
                    answers.append(answer)

    def _drain(self) -> list[link.DialledEvent]:
        arrived: list[link.DialledEvent] = []
        until = self._clock() + DRAIN_S
        while self._dialer is not None and len(arrived) < MOST_MESSAGES:
            events = self._dialer.receive(DRAIN_STEP)
            for event in events:
                arrived += self._link_event(event)
            if len(events) < DRAIN_STEP or self._clock() >= until:
                break
        return arrived

    def _link_event(self, event: DialerEvent) -> list[link.DialledEvent]:
        match event:
            case Arrived(_, frames):
                try:
                    headers = self._decoder.decode(frames)
                except ProtocolError as error:
                    self.hang_up()
                    return [link.ConnectionLost(f"the scheduler sent what is no message: {error}")]
                return [link.PacketArrived(header, header.frames) for header in headers]
            case Connected():
                return [link.Connected()]
            case Lost(_, reason, refused):
                self.hang_up()
                return [link.ConnectionLost(reason, refused)]

    def _perform_link(self, outputs: list[link.DialledOutput]) -> list[agent.Event]:
        told: list[agent.Event] = []
        packets: list[link.Transmit] = []
        for output in outputs:
            match output:
                case link.Transmit():
                    packets.append(output)
                case link.Deliver(message, frames):
                    told.append(agent.Received(message, frames))  # type: ignore[arg-type]  # the decoder's direction
                case link.LinkUp(epoch, resumed):
                    log.info("connected to scheduler epoch=%016x resumed=%s", epoch, resumed)
                    told.append(agent.LinkUp(epoch, resumed))
                    self._tell_alone_at = None
                case link.LinkDown(reason):
                    log.info("connection lost reason=%r", reason)  # a warning follows if it does not come back
                    told.append(agent.LinkDown())
                    self._tell_alone_at = self._clock() + LONELY_S
                case link.Dial():
                    self._dialer = self._dials.dial()
                    for descriptor in self._dialer.filenos():
                        self._poller.watch(descriptor, _nothing)
                case link.HangUp():
                    self._transmit(packets)
                    packets = []
                    self.hang_up()
                case link.Advised(text):
                    log.warning("%s", text)
                case link.GaveUp(error):
                    self._error = error
        self._transmit(packets)
        return told

    def _transmit(self, packets: list[link.Transmit]) -> None:
        if packets and self._dialer is not None:
            for frames in pack(packets):
                self._dialer.send(frames)

    # ---- between turns

    def _sleep(self) -> None:
        self._link_due = self._link.next_deadline()
        self._agent_due = self._agent.next_deadline()
        due = _first(
            self._link_due,
            self._agent_due,
            self._workers.next_look(),
            self._peers.next_deadline(),
            self._stop_by,
            self._tell_alone_at,
        )
        now = self._clock()
        if (
            self._own
            or self._workers.has_news
            or self._peers.has_news
            or (self._dialer is not None and self._dialer.pending())
        ):
            due = now
        self._due = due
        self._poller.wait(None if due is None else max(0.0, due - now))

    def _part(self) -> None:
        """Give what was said last the time to arrive."""
        until = self._clock() + PARTING_S
        while self._link.backlog_bytes and self._clock() < until:
            self._perform_link(self._link.handle(self._drain(), self._clock()))
            if self._dialer is None:
                return
            if self._link.backlog_bytes and not self._dialer.pending():
                due = _first(self._link.next_deadline(), until) or until
                self._poller.wait(max(0.0, due - self._clock()))


def _first(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _nothing() -> None:
    """The next turn looks at the connection anyway."""
