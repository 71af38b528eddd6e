"""The kinds of faults, by name: each strikes now, sees to its own end, and tells whether there was what to strike."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.plan import CLUSTERS

if TYPE_CHECKING:
    from tests.simulation.history import History

Fault = Callable[["History"], bool]

#: a host falls silent, or a process stands still, for so long: below and above every patience there is
SPELLS_S = (0.3, 1.0, 2.5, 4.5, 6.5, 8.0)
ROUGH_S = (0.3, 1.0, 2.5)
AWAY_S = (0.05, 0.2, 0.5, 1.5, 3.0)
#: messages that are sent within this time of each other may cross
CROSSING_S = 0.03


# ---- the network


def link_cut(history: "History") -> bool:
    """Connections break, and each end hears of it in its own time."""
    host = history.some_host()
    history.trouble(host)
    chance = history.chance
    history.network.cut(host, lambda: chance.random() * chance.choice((0.01, 0.5, 2.5)))
    return True


def silent_partition(history: "History") -> bool:
    """Packets vanish both ways, and nobody is told."""
    host = history.some_host()
    weather = history.network.weather_at(host)
    if weather.silent:
        return False
    history.trouble(host)
    history.network.fall_silent(host)
    history.later(history.chance.choice(SPELLS_S), lambda: setattr(weather, "silent_since", None))
    return True


def packets_dropped(history: "History") -> bool:
    """Some packets do not arrive."""
    return _worsen(history, "drop", history.chance.choice((0.05, 0.2, 0.5)), 0.0)


def packets_repeated(history: "History") -> bool:
    """Some packets arrive twice."""
    return _worsen(history, "repeat", history.chance.choice((0.2, 0.6)), 0.0)


def packets_reordered(history: "History") -> bool:
    """Some packets overtake others."""
    return _worsen(history, "reorder", history.chance.choice((0.2, 0.6)), 0.0)


def packets_delayed(history: "History") -> bool:
    """Packets take long."""
    return _worsen(history, "delay_s", history.chance.choice((0.02, 0.2, 0.8)), 0.0005)


def _worsen(history: "History", what: str, value: float, fair: float) -> bool:
    host = history.some_host()
    history.trouble(host)
    weather = history.network.weather_at(host)
    if what == "reorder":
        weather.delay_s = max(weather.delay_s, 0.005)  # there is no overtaking where all are alike
    setattr(weather, what, value)
    history.later(history.chance.choice(ROUGH_S), lambda: setattr(weather, what, fair))
    return True


# ---- workers


def deadly_task(history: "History") -> bool:
    """Tasks that were not answered yet take down the workers they begin on, once or more often."""
    open_tasks = history.open_tasks()
    for task in history.chance.sample(open_tasks, min(3, len(open_tasks))):
        task.deaths_left += history.chance.choice((1, 1, 2, 4))
    return bool(open_tasks)


def worker_killed(history: "History") -> bool:
    """Somebody kills a worker."""
    return any(cluster.kill_worker() for cluster in history.some_clusters())


# ---- clusters


def cluster_killed(history: "History") -> bool:
    """A cluster is killed; another starts at its host later."""
    for cluster in history.some_clusters():
        cluster.die()
        history.replace(cluster.host, history.chance.choice(AWAY_S))
        return True
    return False


def cluster_stopped(history: "History") -> bool:
    """A cluster stands still while its workers go on."""
    for cluster in history.some_clusters():
        seconds = history.chance.choice(SPELLS_S)
        cluster.stop_for(seconds)
        history.trouble(cluster.host, seconds)
        return True
    return False


def cluster_drained(history: "History") -> bool:
    """A cluster is told to end, mostly the one that has most to hand back; another starts at its host later."""
    clusters = list(history.some_clusters())
    if history.chance.random() < 0.7:
        clusters.sort(key=lambda cluster: cluster.agent._runs.queue.tasks, reverse=True)
    for cluster in clusters:
        if history.chance.random() < 0.3:  # what it hands back, nobody may want any more
            history.later(history.chance.random() * CROSSING_S, lambda: _cancel_some(history))
        cluster.terminate(history.chance.choice((0.0, 0.1, 1.0)))
        history.replace(cluster.host, 3.5 + history.chance.choice(AWAY_S))
        return True
    return False


def late_cluster(history: "History") -> bool:
    """One more cluster joins, and stays."""
    if "late" in history.clusters:
        return False
    history.start_cluster("late", history.chance.randrange(1, CLUSTERS))
    return True


def walltime_ends(history: "History") -> bool:
    """A cluster joins that has to leave soon."""
    if "brief" in history.clusters:
        return False
    left_s = 2.0 + history.chance.choice((0.5, 1.0, 3.0))
    history.start_cluster("brief", history.chance.randrange(1, CLUSTERS), history.clock.now + left_s)
    history.trouble("brief", left_s)
    return True


# ---- the scheduler


def scheduler_killed(history: "History") -> bool:
    """The scheduler is killed; another, which knows nothing, starts later."""
    has_queued = any(cluster.agent._runs.queue.tasks for cluster in history.clusters.values())
    if history.scheduler.is_dead or (not has_queued and history.chance.random() < 0.5):
        return False  # more is at stake where clusters have something queued
    history.scheduler_dies()
    away_s = history.chance.choice(AWAY_S)
    history.later(away_s, history.start_scheduler)
    if history.chance.random() < 0.5:  # what clusters claim from the new one, they may have to hand back
        history.later(away_s + 1.5 * history.chance.random(), lambda: history.strike("cluster drained"))
    return True


def scheduler_stopped(history: "History") -> bool:
    """The scheduler stands still."""
    if history.scheduler.is_dead:
        return False
    seconds = history.chance.choice(SPELLS_S)
    history.scheduler.stop_for(seconds)
    for host in history.hosts():
        history.trouble(host, seconds)
    return True


# ---- clients


def client_killed(history: "History") -> bool:
    """A client is killed, or leaves in the middle: nobody wants its tasks."""
    alive = [client for client in history.clients if not client.is_dead]
    if len(alive) < len(history.clients) or history.has_lost_client:
        return False
    history.has_lost_client = True
    client = history.chance.choice(alive)
    if client.is_stopped or history.chance.random() < 0.7:
        client.die()
    else:
        client.leave()
    return True


def client_stopped(history: "History") -> bool:
    """A client stands still."""
    client = history.chance.choice(history.clients)
    if client.is_dead or client.is_stopped:
        return False
    seconds = history.chance.choice(SPELLS_S)
    client.stop_for(seconds)
    history.trouble(client.host, seconds)
    return True


def tasks_cancelled(history: "History") -> bool:
    """A client gives up tasks, again and again for a while: ranges of its batches, or just what runs."""
    for _ in range(4):
        history.later(history.chance.random() * 0.5, lambda: _cancel_some(history))
    return _cancel_some(history)


def tasks_cancelled_unless_begun(history: "History") -> bool:
    """A client asks for tasks to be cancelled that have not begun, again and again for a while."""
    for _ in range(4):
        history.later(history.chance.random() * 0.5, lambda: _ask_for_some(history))
    return _ask_for_some(history)


def _ask_for_some(history: "History") -> bool:
    asked = 0
    for client in history.clients:
        if client.is_dead or client.is_stopped:
            continue
        for batch in client.caller.sizes:
            last = client.caller.appended(batch)
            if last and history.chance.random() < 0.5:
                lo = history.chance.randrange(last)
                asked += history.ask_to_cancel(client, batch, lo, min(last, lo + history.chance.choice((1, 5, 30))))
    return asked > 0


def work_cleared(history: "History") -> bool:
    """A client drops all that it waits for."""
    for client in history.clients:
        if not (client.is_dead or client.is_stopped or client.caller.is_done):
            history.clear(client)
            return True
    return False


def _cancel_some(history: "History") -> bool:
    cancelled = 0
    for client in history.clients:
        if client.is_dead or client.is_stopped:
            continue
        if history.chance.random() < 0.5:
            running = [task for task in history.open_tasks() if task.begins and task.batch in client.caller.sizes]
            for task in running[: history.chance.choice((1, 3))]:
                cancelled += history.cancel(client, task.batch, task.index, task.index + 1)
        for batch in client.caller.sizes:
            last = client.caller.appended(batch)
            if last and history.chance.random() < 0.3:
                lo = history.chance.randrange(last)
                cancelled += history.cancel(client, batch, lo, min(last, lo + history.chance.choice((1, 5, 30, last))))
    return cancelled > 0


FAULTS: dict[str, Fault] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        link_cut,
        silent_partition,
        packets_dropped,
        packets_repeated,
        packets_reordered,
        packets_delayed,
        deadly_task,
        worker_killed,
        cluster_killed,
        cluster_stopped,
        cluster_drained,
        late_cluster,
        walltime_ends,
        scheduler_killed,
        scheduler_stopped,
        client_killed,
        client_stopped,
        tasks_cancelled,
        tasks_cancelled_unless_begun,
        work_cleared,
    )
}
