"""One seeded history of the whole system: work, faults, healing, and then quiet, with every task answered once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from scaler.ids import BatchId, FunctionId, Incarnation, incarnation_of
from scaler.protocol import BatchOptions
from tests.simulation.caller import Caller
from tests.simulation.client import Client
from tests.simulation.clock import Clock
from tests.simulation.cluster import Cluster
from tests.simulation.faults import FAULTS
from tests.simulation.leftovers import leftovers
from tests.simulation.nests import Families
from tests.simulation.network import Network
from tests.simulation.peers import KEY, Streets
from tests.simulation.plan import (
    CLUSTERS,
    NEST,
    UNKNOWN_TAG,
    batch_options,
    batch_sizes,
    cluster_config,
    function_of,
    needs_objects,
    needs_of,
    parts_of,
    tasks_of,
)
from tests.simulation.scheduler import Scheduler
from tests.simulation.tally import Tally
from tests.simulation.trees import MOST_PARKED, POLLING, WAITING, top_options, top_tasks
from tests.simulation.verdicts import Verdicts
from tests.simulation.workload import Task, Workload, argument
from tests.simulation.world import CHECK_EVERY, CHECKED_EVERY, ENCODED_EVERY, WINDOWS_BYTES, World

#: when there are workers, work and faults begin in this time; everything has to be quiet so long after the last fault
READY_S = 0.15
WORK_S = 1.5
FAULTS_S = 2.5
MOMENTS_S = (0.003, 0.02, 0.2)
BESIDE_S = (0.02, 0.3, 1.5)
QUIET_WITHIN_S = 60.0
LEAST_FAULTS = 5
CLIENTS = 2
NESTS_EVERY = 18
OBJECTS_EVERY, OBJECTS_AT = 18, 6


class History:
    """Everything that happens from one seed."""

    def __init__(self, seed: int, log: Callable[[str], None] | None = None) -> None:
        self.chance = Random(seed)
        self.clock = Clock()
        self.network = Network(self.clock, Random(seed + 1), is_encoding=seed % ENCODED_EVERY == 0)
        check_every = CHECK_EVERY if seed % CHECKED_EVERY else 1
        window_bytes = self.chance.choice(WINDOWS_BYTES)
        self._world = World(self.clock, self.network, Random(seed + 2), check_every, window_bytes, log)
        self.workload = Workload(self.clock)
        self.verdicts = Verdicts(self.clock, self.workload, is_narrow=window_bytes != max(WINDOWS_BYTES))
        self.tally = Tally()
        #: every process there ever was
        self._processes: list[object] = []
        #: at most one client is killed or leaves
        self.has_lost_client = False
        #: which of the kinds of clusters each host has
        self._numbers: dict[str, int] = {}
        self._secrets = 0
        self._epochs = 0
        self._heals_at = self.clock.now
        self._submits: list[float] = []
        self._faults: list[float] = []
        self._plan = self.chance.sample(list(FAULTS), self.chance.randint(LEAST_FAULTS, LEAST_FAULTS + 1))
        self._threads = self.chance.choice((1, 1, 2))
        #: in one of so many histories tasks submit tasks
        self.families: Families | None = None
        self._max_parked = max(MOST_PARKED)
        if seed % NESTS_EVERY == 0:
            self.families = Families(self._world, self.workload, self.verdicts, self._incarnation)
            self._max_parked = self.chance.choice(MOST_PARKED)
        #: in these histories tasks need objects; drawn apart, so that others stay as they are
        has_objects = seed % OBJECTS_EVERY == OBJECTS_AT
        self._objects_chance = Random(seed + 3) if has_objects else None
        self._streets = Streets(self.clock, self.network, Random(seed + 4)) if has_objects else None
        self.scheduler = self._new_scheduler()
        self.clusters: dict[str, Cluster] = {}
        for number in range(CLUSTERS):
            self.start_cluster(f"cluster-{number}", number)
        self.clients = [
            Client(self._world, f"client-{number}", self._secret(), self.verdicts.judge) for number in range(CLIENTS)
        ]
        self._processes += self.clients
        for client in self.clients:
            self.verdicts.lives(client.incarnation, client.host)
            self.verdicts.answers[client.incarnation] = client.caller.answers

    def dissolve(self) -> None:
        """Undo what refers to itself: left to the garbage collector it would cost a twentieth of all the time."""
        self.clock.forget()
        for part in (*self._processes, self.network, self):
            vars(part).clear()

    # ---- what happens

    def play(self) -> Tally:
        """All of it; raises `AssertionError` or whatever else goes wrong."""
        begin = self.clock.now
        self._plan_work(begin)
        for kind in self._plan:
            self.clock.at(self._time_of_fault(begin), lambda kind=kind: self.strike(kind))
        self._run_until(begin + FAULTS_S + 0.1)
        while len(self.tally.kinds) < LEAST_FAULTS:
            self.strike(self.chance.choice(list(FAULTS)))
        while self.clock.now < self._heals_at:
            self._run_until(self._heals_at)
        self._heal()
        self._settle()
        self.verdicts.conclude()
        self.tally.tasks = len(self.workload.tasks)
        if self.families is not None:
            self.tally.nested.update(self.families.met)
        for client in self.clients:
            self.tally.batches += len(client.caller.sizes)
            self.tally.answers.update(client.caller.answers.values())
        self.tally.note_core(self.scheduler.core)
        return self.tally.closed()

    def _plan_work(self, begin: float) -> None:
        for number, size in enumerate(batch_sizes(self.chance)):
            options = batch_options(self.chance, size)
            at = begin + READY_S + self.chance.random() * WORK_S
            self._submits.append(at)
            self.clock.at(at, lambda n=number, size=size, options=options: self._submit(n % CLIENTS, size, options))
        if self.chance.random() < 0.1:
            self.clock.at(begin + WORK_S, lambda: self._submit(0, 3, BatchOptions(tag=UNKNOWN_TAG)))
        for number in range(self.chance.choice((1, 1, 2)) if self.families is not None else 0):
            at = begin + READY_S + self.chance.random() * WORK_S
            self._submits += [at, at]
            self.clock.at(at, lambda n=number: self._submit_nests(n))

    def _time_of_fault(self, begin: float) -> float:
        """Any time; most of them a moment after something was submitted, or another fault, when most is under way."""
        what = self.chance.random()
        if what < 0.2:
            at = begin + 0.02 + self.chance.random() * FAULTS_S
        elif what < 0.6 or not self._faults:
            at = self.chance.choice(self._submits) + self.chance.expovariate(1 / self.chance.choice(MOMENTS_S))
        else:
            at = self.chance.choice(self._faults) + self.chance.choice(BESIDE_S) * self.chance.random()
        at = min(at, begin + FAULTS_S)
        self._faults.append(at)
        return at

    def _submit(self, number: int, size: int, options: BatchOptions) -> None:
        caller = self._caller(number)
        self._submit_tasks(caller, function_of(size), options, tasks_of(self.chance, caller.next_batch, size, options))

    def _submit_nests(self, number: int) -> None:
        caller = self._caller(number)
        options = top_options(self.chance)
        # beyond the limit who waits is told, and who polls waits in vain
        may_poll = self._max_parked == max(MOST_PARKED)
        ways = self.chance.choice((WAITING, WAITING, WAITING + POLLING, POLLING)) if may_poll else WAITING
        tasks = top_tasks(self.chance, caller.next_batch, options, ways)
        self._submit_tasks(caller, NEST, options, tasks)

    def _caller(self, number: int) -> Caller:
        client = self.clients[number]
        return self.clients[1 - number].caller if client.is_dead else client.caller

    def _submit_tasks(self, caller: Caller, function: FunctionId, options: BatchOptions, tasks: list[Task]) -> None:
        needs_of(self.chance, tasks, caller.submitted())
        if self._objects_chance is not None:
            needs_objects(self._objects_chance, tasks, caller.objects)
        for task in tasks:
            self.workload.add(task)
        every_s = self.chance.choice((0.0, 0.15, 0.4))
        calls = [task.call for task in tasks]
        needs = {task.index: task.needs for task in tasks if task.needs}
        caller.submit(function, options, calls, parts_of(self.chance, len(tasks)), every_s, needs)

    def strike(self, kind: str, tries: int = 3) -> None:
        """Have a fault of a kind, as soon as there is something to strike."""
        if FAULTS[kind](self):
            self.tally.kinds[kind] += 1
            self._world_log(f"fault: {kind}")
        elif tries:
            self.clock.after(0.2, lambda: self.strike(kind, tries - 1))

    def _world_log(self, text: str) -> None:
        if self._world.log is not None:
            self._world.log(f"{self.clock.now:.6f} {text}")

    def _run_until(self, time: float) -> None:
        self.clock.run(time)

    # ---- for faults

    @staticmethod
    def do_nothing() -> None:
        """It is enough to be there at that time."""

    def later(self, delay_s: float, action: Callable[[], object]) -> None:
        """End a fault so much later; the history goes on at least until then."""
        self._heals_at = max(self._heals_at, self.clock.now + delay_s + 0.001)
        self.clock.after(delay_s, action)

    def trouble(self, host: str, seconds: float = 0.0) -> None:
        """A process at a host is not what it should be, for a while."""
        self.verdicts.trouble(host)
        self.later(seconds, self.do_nothing)

    def hosts(self) -> list[str]:
        """Every host there is."""
        return [*self.clusters, *(client.host for client in self.clients)]

    def some_host(self) -> str:
        """A host for something bad to happen at."""
        return self.chance.choice(self.hosts())

    def some_clusters(self) -> Iterator[Cluster]:
        """The clusters that are up, in any order."""
        alive = [cluster for cluster in self.clusters.values() if not (cluster.is_dead or cluster.is_stopped)]
        yield from self.chance.sample(alive, len(alive))

    def open_tasks(self) -> list[Task]:
        """Tasks that have no answer yet, in the order in which they were submitted."""
        answers = self.verdicts.answers
        return [
            task
            for task in self.workload.tasks.values()
            if task.cancelled_at is None and (task.batch, task.index) not in answers[task.batch.owner]
        ]

    def cancel(self, client: Client, batch: BatchId, lo: int, hi: int) -> int:
        """Have a client give up what it still waits for of [lo, hi); how many tasks."""
        given_up = client.caller.cancel(batch, lo, hi)
        for index in given_up:
            self.workload.tasks[argument(batch, index)].cancelled_at = self.clock.now
        return len(given_up)

    def ask_to_cancel(self, client: Client, batch: BatchId, lo: int, hi: int) -> int:
        """Have a client ask for what of [lo, hi) has not begun to be cancelled; of how many tasks."""
        asked = client.caller.ask_to_cancel(batch, lo, hi)
        for index in asked:
            self.workload.tasks[argument(batch, index)].is_asked_for = True
        return len(asked)

    def clear(self, client: Client) -> None:
        """Have a client drop all that it waits for."""
        for batch, index in client.caller.clear():
            self.workload.tasks[argument(batch, index)].cancelled_at = self.clock.now

    def _secret(self) -> bytes:
        self._secrets += 1
        return b"%d" % self._secrets

    def _incarnation(self) -> Incarnation:
        """A name for a client inside a task."""
        return incarnation_of(self._secret())

    def start_cluster(
        self, host: str, number: int, ends_at: float | None = None, tags: tuple[str, ...] | None = None
    ) -> None:
        """A new cluster at a host."""
        config = cluster_config(host, number, self._threads, self._max_parked, ends_at, tags)
        if self._streets is not None:
            config = replace(config, port=self._streets.new_port(), key=KEY)
        secret = self._secret()
        self._numbers[host] = number
        self.verdicts.lives(incarnation_of(secret), host)
        cluster = Cluster(self._world, host, secret, config, self.workload, self.families, streets=self._streets)
        self.clusters[host] = cluster
        self._processes.append(cluster)

    def replace(self, host: str, delay_s: float) -> None:
        """A new cluster at a host, so much later, if the one there has ended."""
        self.verdicts.trouble(host)
        self.later(delay_s, lambda: self._replace(host))

    def _replace(self, host: str) -> None:
        if self.clusters[host].is_dead:
            self.start_cluster(host, self._numbers[host])

    def _new_scheduler(self) -> Scheduler:
        self._epochs += 1
        scheduler = Scheduler(self._world, 0xE0000 + self._epochs, self.verdicts, has_doors=self._streets is not None)
        self._processes.append(scheduler)
        return scheduler

    def start_scheduler(self) -> None:
        """A new scheduler."""
        self.verdicts.restarted()
        self.scheduler = self._new_scheduler()

    def scheduler_dies(self) -> None:
        """The scheduler is killed."""
        self.scheduler.die()
        self.tally.note_core(self.scheduler.core)

    # ---- the end

    def _heal(self) -> None:
        """Fair weather, a cluster at every host, and somebody for the tag that nobody had."""
        self.network.clear_up()
        if any(task.options.tag == UNKNOWN_TAG for task in self.open_tasks()):
            self.start_cluster("rare", 0, tags=(UNKNOWN_TAG,))
        for host in self.clusters:
            if host != "brief":
                self._replace(host)

    def _settle(self) -> None:
        until = self.clock.now + QUIET_WITHIN_S
        while left := leftovers(self):
            assert self.clock.now < until, f"not quiet {QUIET_WITHIN_S:g} s after the last fault: {'; '.join(left)}"
            self._run_until(self.clock.now + 0.2)
        self.scheduler.core.check()
        for cluster in self.clusters.values():
            cluster.agent.check()
        for client in self.clients:
            client.caller.ledger.check()
