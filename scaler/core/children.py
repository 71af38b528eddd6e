"""Clients inside tasks: they speak through the cluster that runs their task, and are gone when that says so.

The cluster is the one to know how its tasks fare, so it tells when a child's task has ended. What is seen here alone is
that nothing of what a child has submitted begins: then its task is to give up its slot, whatever it waits with.
"""

import heapq

from scaler.core.clients import ClientRecord, Parent
from scaler.core.everywhere import Everywhere
from scaler.core.lifecycle import State
from scaler.core.managers import Managers
from scaler.core.membership import Membership
from scaler.core.nesting import Nesting, below, below_unknown
from scaler.core.recovery import Recovery
from scaler.core.results import Reports
from scaler.core.workers import Cluster
from scaler.ids import Incarnation, RunId
from scaler.protocol import AppendTasks, ChildSays, Goodbye, ParkParent, TellChild
from scaler.protocol.connection import LONGEST_TEXT

#: what a child has submitted may wait so long without any of it beginning
STARVED_S = 0.5
#: it is looked at so long after it was submitted, and ever less often while all is well
LOOK_S = 0.25
LAST_LOOK_S = 1.0
_NOT_BEGUN = (State.QUEUED, State.ASSIGNED, State.RETRACTING)


class _Watched:
    """How far what a child has submitted was when it was looked at, since when, and when it is looked at again."""

    __slots__ = ("due", "is_parked", "pause_s", "progress", "since")

    def __init__(self, now: float) -> None:
        self.progress: tuple[int, int] = (0, 0)
        self.since = now
        self.due = 0.0
        self.pause_s = LOOK_S
        #: its task was told to give up its slot
        self.is_parked = False


class Children:
    """Lets children in and out, and sees to it that what they submit can begin."""

    def __init__(
        self, managers: Managers, membership: Membership, recovery: Recovery, reports: Reports, everywhere: Everywhere
    ) -> None:
        self._tasks = managers.tasks
        self._clients = managers.clients
        self._timers = managers.timers
        self._outbox = managers.outbox
        self._membership = membership
        self._recovery = recovery
        self._reports = reports
        self._everywhere = everywhere
        #: children by name; some may be gone since they were looked at
        self._watched: dict[Incarnation, _Watched] = {}
        #: when each is looked at, the earliest first; what differs from its `due` stands for nothing
        self._due: list[tuple[float, int, Incarnation]] = []
        self._serial = 0

    # ---- who speaks

    def speaker(self, cluster: Cluster, message: ChildSays, now: float) -> ClientRecord | None:
        """Whose words these are; None if they are nobody's, or the last ones."""
        child = self._clients.clients.get(message.child)
        is_other = child is not None and (child.parent is None or child.parent.cluster != cluster.peer)
        if is_other or message.child in self._outbox.peers:
            self._refuse_name(cluster, message)
            return None
        if isinstance(message.message, Goodbye):
            if child is not None:
                self._membership.child_left(child)
            return None
        if child is None:
            return self._join(cluster, message, now)
        if isinstance(message.message, AppendTasks):
            self._look_soon(child, now)
        return child

    def _refuse_name(self, cluster: Cluster, message: ChildSays) -> None:
        """A child has the name of another: a task chooses it, so that it is no fault of its cluster."""
        if not isinstance(message.message, Goodbye):
            fields = (("cluster", cluster.name), ("child", f"{message.child:016x}"))
            self._outbox.note("warning", "a client inside a task has the name of another", *fields)
            self._dismiss(cluster.peer, message.child, "another peer, or a client inside another task, has this name")

    def _join(self, cluster: Cluster, message: ChildSays, now: float) -> ClientRecord | None:
        name = message.run
        nesting = self._nesting(cluster, name, message.index)
        if nesting is None:
            self._dismiss(cluster.peer, message.child, "the task that this client is inside of is wanted no more")
            return None
        run = self._reports.run_at(cluster, name)
        if run is not None:  # it has begun, for it speaks
            self._reports.begun(cluster, name, message.index, now)
            self._tasks.batch_of(run).times.nests = True
        watched = self._watched[message.child] = _Watched(now)
        self._look_by(now + LOOK_S, message.child, watched)
        return self._membership.child_joined(message.child, Parent(cluster.peer, name, message.index), nesting)

    def _nesting(self, cluster: Cluster, name: RunId, index: int) -> Nesting | None:
        """Where the tasks of a child stand that is inside of this one; None if nobody wants that."""
        run = self._reports.run_at(cluster, name)
        batch = self._everywhere.asked(cluster, name) if run is None else self._tasks.batch_of(run)
        if batch is not None:
            owner = self._clients.clients.get(batch.owner)
            above = None if owner is None else owner.nesting
            return below(batch.id, index, batch.options, above)
        awaited = self._recovery.awaited(cluster, name)
        return None if awaited is None else below_unknown(awaited, index)

    def broke_rules(self, child: ClientRecord, reason: str) -> None:
        """A child is let out, and told why."""
        assert child.parent is not None
        self._outbox.note("warning", "a client inside a task broke the rules", ("reason", reason))
        self._membership.child_left(child)
        self._dismiss(child.parent.cluster, child.peer, reason)

    def _dismiss(self, cluster: Incarnation, child: Incarnation, reason: str) -> None:
        self._outbox.send(cluster, TellChild(child, Goodbye(reason[:LONGEST_TEXT])))

    # ---- who starves

    def _look_by(self, due: float, name: Incarnation, watched: _Watched) -> None:
        watched.due = due
        self._serial += 1
        heapq.heappush(self._due, (due, self._serial, name))
        self._timers.children_at = self._due[0][0]

    def _look_soon(self, child: ClientRecord, now: float) -> None:
        """A child has submitted more."""
        watched = self._watched[child.peer]
        if watched.due > now + LOOK_S:
            watched.pause_s = LOOK_S
            self._look_by(now + LOOK_S, child.peer, watched)

    def shift(self, seconds: float) -> None:
        """The shell overslept."""
        self._due = [(due + seconds, serial, name) for due, serial, name in self._due]
        for watched in self._watched.values():
            watched.due += seconds
            watched.since += seconds

    def look(self, now: float) -> None:
        """Have tasks give up their slots whose children wait in vain for one, and no longer when none is left."""
        while self._due and self._due[0][0] <= now:
            due, _, name = heapq.heappop(self._due)
            watched, child = self._watched.get(name), self._clients.clients.get(name)
            if watched is None or watched.due != due:
                continue
            if child is None or child.parent is None:  # it has left
                del self._watched[name]
                continue
            self._look_at(child, watched, now)
            self._look_by(now + watched.pause_s, name, watched)
        self._timers.children_at = self._due[0][0] if self._due else None

    def _look_at(self, child: ClientRecord, watched: _Watched, now: float) -> None:
        batches = [self._tasks.batches[name] for name in child.batches]
        waiting = sum(span.hi - span.lo for batch in batches for span in batch.spans.all() if span.state in _NOT_BEGUN)
        progress = (len(batches), sum(batch.appended for batch in batches) - waiting)
        if not waiting or progress != watched.progress:
            watched.progress, watched.since = progress, now
            watched.pause_s = min(LAST_LOOK_S, 2 * watched.pause_s)
            if watched.is_parked and not any(batch.unfinished for batch in batches):
                self._park(child, watched, is_parked=False)
            return
        watched.pause_s = LOOK_S
        if not watched.is_parked and now >= watched.since + STARVED_S:
            self._park(child, watched, is_parked=True)

    def _park(self, child: ClientRecord, watched: _Watched, *, is_parked: bool) -> None:
        watched.is_parked = is_parked
        self._outbox.send(self._outbox.children[child.peer], ParkParent(child.peer, is_parked))

    def check(self) -> None:
        """Every child is watched, and looked at in time."""
        assert self._watched.keys() >= {name for name, one in self._clients.clients.items() if one.parent is not None}
        assert {(watched.due, name) for name, watched in self._watched.items()} <= {
            (due, name) for due, _, name in self._due
        }
        assert self._timers.children_at == (min(self._due)[0] if self._due else None)
