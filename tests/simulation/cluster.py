"""The simulated worker-cluster process: the real link and agent, and simulated workers."""

from typing import Any

from scaler.link import events as link
from scaler.worker import agent_events as agent
from scaler.worker.agent import Agent, AgentConfig
from scaler.worker.agent_peer_events import AnswerPeer, AskPeer, UsePass
from tests.simulation.dialling import Dialling
from tests.simulation.nests import Families, Nests
from tests.simulation.objects import Laying
from tests.simulation.peers import SimPeers, Streets
from tests.simulation.workers import SIGKILL, SimWorkers
from tests.simulation.workload import Workload
from tests.simulation.world import World

#: what was said last may take so long to arrive
PARTING_S = 1.0
#: a cluster that was told to end does so after its grace and this time, come what may
STOPPING_S = 3.0


class Cluster(Dialling):
    """A worker cluster."""

    words = agent

    def __init__(
        self,
        world: World,
        host: str,
        secret: bytes,
        config: AgentConfig,
        workload: Workload,
        families: Families | None = None,
        *,
        streets: Streets | None = None,
    ) -> None:
        super().__init__(world, host, "worker", secret)
        self.config = config
        self.agent = Agent(config, self.incarnation)
        calls = workload.at(self.incarnation, config)
        nests = self.nests = None if families is None else Nests(families, self.incarnation, self.host, config, calls)
        #: where some results stay with their makers, these give each other what others need
        self._peers = None if streets is None else SimPeers(streets, host, config.port, self.tell)
        laying = None if streets is None else Laying(self.incarnation, workload.laid, workload.gone)
        self.workers = SimWorkers(world.clock, config.threads, calls, self.call_up, nests, laying)
        if nests is not None:
            nests.workers = self.workers
        #: when it leaves at the latest, once its agent has ended
        self._leave_by: float | None = None
        #: it left with everything said and acknowledged
        self.has_parted = False
        self._turns = 0
        self._agent_due: float | None = world.clock.now
        self.step([], [])

    # ---- its life

    def die(self) -> None:
        super().die()
        self.workers.vanish()
        if self._peers is not None:
            self._peers.die()

    def terminate(self, grace_s: float) -> None:
        """SIGTERM."""
        self.tell([agent.StopAsked(grace_s, "SIGTERM")])
        self.world.clock.after(grace_s + STOPPING_S, self.die)

    def kill_worker(self) -> bool:
        """SIGKILL to one of its workers; whether there was one."""
        if self.workers.workers:
            self.workers.kill(self.world.chance.choice(list(self.workers.workers)), SIGKILL)
            return True
        return False

    def slept(self, seconds: float) -> list[agent.Event]:
        return [agent.Slept(seconds)]

    # ---- turns

    def step(self, events: list[link.DialledEvent], own: list[Any]) -> None:
        now = self.world.clock.now
        told: list[Any] = self.handle_link(events, now)
        if self.nests is not None:
            self.nests.hear(told)
        if self._leave_by is not None:
            self._part(self._leave_by)
            return
        told = [*own, *told, *self.workers.take_events()]
        if told or (self._agent_due is not None and self._agent_due <= now):
            self._tell_agent(told, now)
            self._agent_due = self.agent.next_deadline()
        self.ask_again(self._agent_due if self._leave_by is None else self._leave_by)

    def _tell_agent(self, told: list[agent.Event], now: float) -> None:
        while True:
            said: list[link.DialledEvent] = []
            answers: list[agent.Event] = []
            for command in self.agent.handle(told, now):
                self._perform(command, said, answers)
            if said:
                assert not self.handle_link(said, now)
            if not answers:
                break
            told = answers
        self._turns += 1
        if self._turns % self.world.check_every == 0:
            self.agent.check()

    def _perform(self, command: agent.Command, said: list[link.DialledEvent], answers: list[agent.Event]) -> None:
        if self.world.log is not None:
            self.world.log(f"{self.world.clock.now:.6f} {self.host} {command}")
        match command:
            case agent.Say(message, frames):
                said.append(link.Outgoing(message, frames))
            case agent.Note():
                return
            case agent.End():
                self._leave_by = self.world.clock.now + PARTING_S
            case AskPeer() | AnswerPeer() | UsePass():
                assert self._peers is not None
                answers += self._peers.perform(command)
            case _:
                answers += self.workers.perform(command)

    def _part(self, leave_by: float) -> None:
        """Its agent has ended: it waits for nothing but the arrival of what was said."""
        if not self.link.backlog_bytes:
            self.has_parted = True
            self.die()
        elif self.world.clock.now >= leave_by or self.wire is None:
            self.die()
        else:
            self.ask_again(leave_by)
