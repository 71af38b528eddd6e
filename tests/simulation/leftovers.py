"""What a quiet system must not have any more."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.client import Client
from tests.simulation.cluster import Cluster

if TYPE_CHECKING:
    from scaler.core.scheduler import SchedulerCore
    from tests.simulation.history import History


def leftovers(history: "History") -> list[str]:
    """Everything that is still there, in words; empty when all is quiet."""
    found = [
        f"{client.host}: {what}" for client in history.clients if not client.is_dead for what in _of_client(client)
    ]
    for cluster in history.clusters.values():
        if not cluster.is_dead:
            found += [f"{cluster.host}: {what}" for what in _of_cluster(cluster)]
    return [*found, *(f"scheduler: {what}" for what in _of_core(history.scheduler.core))]


def _of_client(client: Client) -> Iterator[str]:
    if not client.caller.is_done:
        yield f"{sum(client.caller.sizes.values()) - len(client.caller.answers)} tasks without an answer"
    if client.caller.ledger._batches or client.caller.ledger._talking:
        yield f"batches {list(client.caller.ledger._batches)}"
    if client.caller.ledger._inputs._by_task:
        yield f"outcomes that others need {list(client.caller.ledger._inputs._by_task)}"
    if len(client.caller.objects.alive) or client.caller.ledger._objects._alive or client.caller.ledger._objects._freed:
        yield f"objects {list(client.caller.objects.alive)}"
    if not client.caller.stored.is_quiet or client.caller.ledger._fetches._wanted:
        yield f"values that lie elsewhere {list(client.caller.stored.alive)}"
    if client.caller.ledger._taken.due is not None:
        yield "results that were not acknowledged"
    if client.link.backlog_bytes:
        yield "messages that have not arrived"


def _of_cluster(cluster: Cluster) -> Iterator[str]:
    agent = cluster.agent
    if agent._runs.by_id:
        yield f"runs {[(name, run.queued, run.out, run.kept.ranges()) for name, run in agent._runs.by_id.items()]}"
    if agent._runs.queue.tasks or agent._giving.suspects or agent._retracts._waiting:
        yield "queued tasks, suspects or retractions"
    if agent._pool.parked or agent._pool.spares or agent._pool.room != agent._pool.slots:
        yield f"{agent._pool.parked} parked tasks and {agent._pool.spares} spares"
    if agent._children._children or (cluster.nests is not None and cluster.nests.left()):
        yield f"clients inside tasks {list(agent._children._children)}"
    if agent._objects._by_name or not cluster.workers.shelf.is_empty:
        yield f"objects {list(agent._objects._by_name)}"
    if cluster.link.backlog_bytes:
        yield "messages that have not arrived"


def _of_core(core: "SchedulerCore") -> Iterator[str]:
    managers = core.managers
    tasks = managers.tasks
    if tasks.by_serial or tasks.batches:
        spans = {batch.id: batch.spans.all() for batch in tasks.by_serial.values()}
        yield f"batches {[(name, [(s.lo, s.hi, s.state.name) for s in some[:9]]) for name, some in spans.items()]}"
    if len(tasks.inputs):
        yield f"inputs {list(tasks.inputs._by_task)}"
    if len(managers.objects) or core._objects._relays._names():
        yield f"objects {list(managers.objects._objects)}, or pieces of {core._objects._relays._names()}"
    if tasks.runs:
        yield f"runs {list(tasks.runs)}"
    if tasks.queue.tasks or tasks.queue.classes or tasks.queue.aside:
        yield "queue entries"
    if any(tasks.tasks_in.values()):
        yield f"counted tasks {tasks.tasks_in}"
    for cluster in managers.workers.clusters.values():
        load = cluster.load
        if (
            load.unfinished
            or load.size_bytes
            or load.runs
            or load.live
            or load.by_times
            or any(load.resources.values())
        ):
            yield f"a load at {cluster.name}"
        if cluster.retracts or cluster.is_alone or cluster.is_reserved:
            yield f"a mark at {cluster.name}"
    if managers.timers.backoffs or managers.timers.began:
        yield "timers"
    if core._recovery._held or core._recovery._early:
        yield "claims"
    if any(record.users for record in managers.functions._functions.values()):
        yield "users of functions"
    if any(client.way.kept or client.way.asked_bytes for client in managers.clients.clients.values()):
        yield "results that were left behind"
    if any(client.batches for client in managers.clients.clients.values()):
        yield "batches of clients"
    if managers.outbox.children or managers.clients.children:
        yield f"clients inside tasks {list(managers.outbox.children)}"
    if any(cluster.children for cluster in managers.workers.clusters.values()):
        yield "counted clients inside tasks"
