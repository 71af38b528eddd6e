"""Peers that come and go, with what follows for their work and for what others are told."""

from scaler.core.batches import Batch
from scaler.core.clients import ClientManager, ClientRecord, Parent
from scaler.core.everywhere import Everywhere
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.nesting import Nesting
from scaler.core.object_requests import ObjectRequests
from scaler.core.outcomes import Outcomes
from scaler.core.recovery import Recovery
from scaler.core.workers import Cluster
from scaler.errors import ProtocolError
from scaler.ids import Incarnation
from scaler.protocol import ClusterReady, Goodbye, KnownTags, ToClient, Watched, WorkersReady


class Membership:
    """Lets peers in and out; tells clients which tags there are and whether anybody can take tasks."""

    def __init__(
        self,
        managers: Managers,
        outcomes: Outcomes,
        recovery: Recovery,
        everywhere: Everywhere,
        objects: ObjectRequests,
    ) -> None:
        self._tasks = managers.tasks
        self._workers = managers.workers
        self._clients: ClientManager = managers.clients
        self._objects = objects
        self._functions = managers.functions
        self._outbox = managers.outbox
        self._outcomes = outcomes
        self._recovery = recovery
        self._everywhere = everywhere
        self._is_watched = False
        #: what clients were told last
        self._is_ready = False

    def joined(self, peer: Incarnation, role: str, name: str, address: str, now: float) -> None:
        """A new link stands; it has shown that its name is its own, so that a child which has taken it is let out."""
        cluster = self._outbox.children.get(peer)
        if cluster is not None:
            fields = (("cluster", self._workers.clusters[cluster].name), ("child", f"{peer:016x}"))
            self._outbox.note("warning", "a client inside a task has the name of another", *fields)
            self._outbox.send(peer, Goodbye("another peer has this name"))
            self.child_left(self._clients.clients[peer])
        self._outbox.peers[peer] = role
        self._recovery.joined(now)
        if role == "worker":
            self._workers.join(peer, name, address)
            self._objects.joined(peer)
            if self._is_watched:
                self._outbox.send(peer, Watched(watched=True))
            return
        self._clients.join(peer, role, name)
        self._greet(peer)

    def _greet(self, peer: Incarnation) -> None:
        self._outbox.send(peer, KnownTags(self._workers.known_tags))
        self._outbox.send(peer, WorkersReady(self._is_ready))

    def child_joined(self, child: Incarnation, parent: Parent, nesting: Nesting) -> ClientRecord:
        """A client inside a task spoke for the first time."""
        self._workers.clusters[parent.cluster].has_child()
        self._outbox.children[child] = parent.cluster
        self._greet(child)
        return self._clients.join_child(child, parent, nesting)

    def child_left(self, child: ClientRecord) -> None:
        """Its task is over, or it wants nothing more: what it has submitted is dropped."""
        self._workers.clusters[self._outbox.children.pop(child.peer)].children -= 1
        self._drop_client(child)

    def left(self, peer: Incarnation, reason: str, *, said_goodbye: bool) -> None:
        """A peer is gone for good; one that was let out already is passed over."""
        if self._outbox.peers.pop(peer, None) is None:
            return
        cluster = self._workers.clusters.get(peer)
        if cluster is not None:
            self._cluster_left(cluster, reason, said_goodbye=said_goodbye)
            self._objects.left(peer)
        else:
            self._client_left(self._clients.clients[peer], reason)

    def _client_left(self, client: ClientRecord, reason: str) -> None:
        unfinished = sum(self._tasks.batches[name].unfinished for name in client.batches)
        if unfinished:
            fields = (("client", f"{client.peer:016x}"), ("tasks", unfinished), ("reason", reason))
            self._outbox.note("info", "a client left unfinished work, which is dropped", *fields)
        self._drop_client(client)

    def _drop_client(self, client: ClientRecord) -> None:
        for name in list(client.batches):
            self._outcomes.abandon(self._tasks.batches[name])
        self._clients.leave(client.peer)
        if client.parent is None:  # others come and go with each task
            self._functions.drop_idle(client.peer)
        self._objects.left(client.peer)

    def _cluster_left(self, cluster: Cluster, reason: str, *, said_goodbye: bool) -> None:
        for child in self._clients.children_of(cluster.peer):
            self.child_left(child)
        unfinished = cluster.load.unfinished
        runs = list(cluster.load.runs.values())
        batches: dict[int, Batch] = {run.serial: self._tasks.batch_of(run) for run in runs}
        # first of all, so that nothing it loses is left to it
        for run in runs:
            self._outcomes.drop_claims(run)
        unseen = 0 if said_goodbye else cluster.slots - self._running(cluster)
        for run in runs:
            if run.id in self._tasks.runs:
                unseen = self._outcomes.release_run(run, charge=not said_goodbye, unseen=max(0, unseen))
        self._recovery.cluster_lost(cluster, [one for one in batches.values() if one.serial in self._tasks.by_serial])
        self._workers.leave(cluster)
        self._everywhere.cluster_left(cluster)
        level = "info" if said_goodbye else "warning"
        fields = (("cluster", cluster.name), ("reason", reason), ("unfinished", unfinished))
        self._outbox.note(level, "a worker cluster is gone", *fields)

    def _running(self, cluster: Cluster) -> int:
        """How many tasks are known to run there."""
        spans = (
            span
            for run in cluster.load.live.values()
            for span in self._tasks.batch_of(run).spans.within(run.lo, run.hi)
            if span.run is run and span.state is State.RUNNING
        )
        return sum(span.hi - span.lo for span in spans)

    def described(self, cluster: Cluster, message: ClusterReady, now: float) -> None:
        """A cluster tells what it offers."""
        if len(message.tags) > _MOST_TAGS:
            raise ProtocolError(f"a cluster offers {len(message.tags)} tags, more than {_MOST_TAGS}")
        is_new, slots_before = not cluster.host, cluster.slots
        if self._workers.describe(cluster, message, now):
            self._tell_clients(KnownTags(self._workers.known_tags))
        if is_new:
            fields = (("cluster", message.name), ("host", message.host), ("pid", message.pid))
            fullness = (("slots", message.slots), ("full_slots", message.full_slots))
            self._outbox.note("info", "a worker cluster joined", *fields, *fullness)
            cluster.was_full = message.slots >= message.full_slots
        else:
            self._note_slots(cluster, message, slots_before)

    def _note_slots(self, cluster: Cluster, message: ClusterReady, before: int) -> None:
        """Tell the log when all slots of a cluster are up, and when none is; not of one that leaves."""
        field = ("cluster", message.name)
        if not message.full_slots:
            return
        if message.slots >= message.full_slots and not cluster.was_full:
            cluster.was_full = True
            self._outbox.note("info", "all slots of a worker cluster are up", field, ("slots", message.slots))
        elif before and not message.slots:
            cluster.was_full = False
            fields = (field, ("full_slots", message.full_slots))
            self._outbox.note("warning", "no slot of a worker cluster is left", *fields)

    def watched(self, *, watched: bool) -> None:
        """Somebody begins or ceases to read the monitor stream."""
        self._is_watched = watched
        self._tasks.watched = [] if watched else None
        for peer, cluster in self._workers.clusters.items():
            self._outbox.send(peer, Watched(watched))
            cluster.statistics = None  # of nobody's concern until somebody reads again, and old then

    def tell_readiness(self) -> None:
        """Tell clients if it has changed whether any worker can take tasks."""
        is_ready = self._workers.slots > 0
        if is_ready is not self._is_ready:
            self._is_ready = is_ready
            self._tell_clients(WorkersReady(is_ready))

    def _tell_clients(self, message: ToClient) -> None:
        for peer in self._clients.clients:
            self._outbox.send(peer, message)


_MOST_TAGS = 1024
