"""What a history permits: which answers a task may have, and which tasks may have begun more than once."""

from collections.abc import Mapping

from scaler.core.config import CoreConfig
from scaler.ids import BatchId, Incarnation, RunId
from scaler.protocol import Cause, Delivered, RunSpan
from tests.simulation.clock import Clock
from tests.simulation.workload import Begin, Task, Workload, argument, value_of
from tests.simulation.world import SILENCE_S

#: so often the cluster of a running task must have been lost before it may fail for that
VANISH_LIMIT = 3
#: a task may run on for so long after its timeout, or after it was cancelled
SLACK_S = 0.5
#: a peer that is back so soon after a scheduler's start is not late, whoever else is
CLUSTER_LATE_S = CoreConfig().recovery_s
CLIENT_LATE_S = SILENCE_S
#: an attempt that ended so is followed by another
_TRIED_AGAIN = ("died", "retryable", "interrupted")


class Verdicts:
    """Judges failures as they come, and at the end what was begun, where, and how often."""

    def __init__(self, clock: Clock, workload: Workload, *, is_narrow: bool) -> None:
        self._clock = clock
        #: results may have to wait at their clusters, and go with them when these leave
        self._is_narrow = is_narrow
        self._workload = workload
        #: the batch of each run
        self._batches: dict[RunId, BatchId] = {}
        #: what each client has had
        self.answers: dict[Incarnation, Mapping[tuple[BatchId, int], str]] = {}
        #: the cluster through which each client inside a task speaks
        self._through: dict[Incarnation, Incarnation] = {}
        #: where each peer lives or lived, and since when
        self._hosts: dict[Incarnation, str] = {}
        self._since: dict[Incarnation, float] = {}
        #: when each peer had told a scheduler all it has, and when it was given up
        self._came: dict[Incarnation, list[float]] = {}
        self._given_up: dict[Incarnation, list[float]] = {}
        #: when each peer said goodbye
        self._left: dict[Incarnation, float] = {}
        #: hosts that had a fault of any kind
        self._troubled: set[str] = set()
        #: since when the scheduler knows each tag
        self._tags: dict[str, float] = {}
        #: when each scheduler but the first started
        self._restarts: list[float] = []

    # ---- what is noted

    def lives(self, peer: Incarnation, host: str, through: Incarnation | None = None) -> None:
        """A new client or cluster; a client inside a task speaks through its cluster, and is lost with that."""
        self._hosts[peer] = host
        self._through[peer] = peer if through is None else through
        self._since[peer] = self._clock.now

    def came_back(self, peer: Incarnation) -> None:
        """A scheduler has heard all that a peer has, or waits for."""
        self._came.setdefault(peer, []).append(self._clock.now)

    def gave_up(self, peer: Incarnation, reason: str) -> None:
        """The scheduler believes a peer to be gone, and not by its own wish."""
        if reason == "goodbye":
            self._left[peer] = self._clock.now
        else:
            self._given_up.setdefault(peer, []).append(self._clock.now)

    def trouble(self, host: str) -> None:
        """Something happened to a host."""
        self._troubled.add(host)

    def offered(self, tags: tuple[str, ...]) -> None:
        """A cluster has told the scheduler of its tags."""
        for tag in tags:
            self._tags.setdefault(tag, self._clock.now)

    def restarted(self) -> None:
        """Another scheduler starts."""
        self._tags.clear()
        self._restarts.append(self._clock.now)

    # ---- what is forgotten

    def sent(self, message: RunSpan) -> None:
        """A run is given to a cluster."""
        self._batches[message.run] = message.batch

    def delivered(self, cluster: Incarnation, message: Delivered) -> None:
        """A cluster may forget results: where nothing was lost, only what their client has, or what is tried again."""
        if self._restarts or self._given_up:
            return
        for run, ranges in message.runs:
            batch = self._batches[run]
            if batch.owner in self._left:
                continue
            answers = self.answers[batch.owner]
            for index in (index for lo, hi in ranges for index in range(lo, hi)):
                if (batch, index) not in answers:
                    task = self._workload.tasks[argument(batch, index)]
                    ends = [begin.end for begin in task.begins if begin.cluster == cluster]
                    assert "value" not in ends, f"{_name(task)} is to be forgotten, and its client does not have it"

    # ---- answers

    def judge(self, call: bytes, answer: str, origin: bytes) -> str | None:
        """Why a task must not have this answer, or None if it may: for itself, or for one that it needs.

        `origin` is the call that raised, where something was raised.
        """
        problem = None
        for task in self._workload.origins(self._workload.tasks[call]):
            if not origin or task.call == origin:
                why = self._judge_own(task, answer)
                if why is None:
                    return None
                problem = problem or why
        return problem or f"{origin!r} is nothing it needs"

    def _judge_own(self, task: Task, answer: str) -> str | None:
        options = task.options
        match answer:
            case "raised":
                return None if task.raises or task.was_refused else "it does not raise"
            case "retryable":
                return None if _ended(task, "retryable") > options.retries else "it was to be tried again"
            case Cause.DIED:
                return None if task.deaths > options.retries else f"{task.deaths} workers died under it"
            case Cause.TIMEOUT:
                slowest_s = max([task.seconds, *(begin.held_s for begin in task.begins)])
                return None if slowest_s > (options.timeout_s or 1e9) else "it is not that slow"
            case Cause.VANISHED:
                vanished = sum(begin.cluster in self._given_up for begin in task.begins)
                return None if vanished >= VANISH_LIMIT else f"{vanished} clusters vanished under it"
            case Cause.UNKNOWN_TAG:
                # a new scheduler knows only the tags of the clusters that have come back
                known_since = self._tags.get(options.tag or "")
                return None if known_since is None or known_since > task.submitted_at else "its tag is known"
            case Cause.CANCELLED:  # what its client gave up, who needs it is told of
                return self._judge_cancelled(task) if task.cancelled_at is None else None
            case _:
                return "nothing permits that"

    def _judge_cancelled(self, task: Task) -> str | None:
        """Only what was asked for is taken back, and only if it never began, as far as this scheduler could know."""
        if not task.is_asked_for:
            return "nobody asked for that"
        begun = [begin for begin in task.begins if begin.cluster not in self._given_up]
        return f"it had begun: {begun}" if begun and not self._restarts else None

    # ---- begins

    def conclude(self) -> None:
        """Everything is over: nothing ran for longer, later or more often than it should."""
        for task in self._workload.tasks.values():
            timeout_s = task.options.timeout_s
            if timeout_s is not None and task.seconds > timeout_s + SLACK_S and not task.was_refused:
                self._check_timeout(task)
            if task.cancelled_at is not None:
                self._check_cancelled(task, task.cancelled_at)
            elif len(task.begins) > 1:
                self._check_begins(task)
                self._count_attempts(task)

    def _check_timeout(self, task: Task) -> None:
        for begin in task.begins:
            is_well = begin.end not in ("value", "raised", "retryable") or self._hosts[begin.cluster] in self._troubled
            assert is_well, f"{_name(task)} takes {task.seconds:.2f} s and was let run on: {begin}"

    def _check_cancelled(self, task: Task, at: float) -> None:
        """Where nothing else was wrong, what nobody wants is not begun, and does not run on.

        Through a narrow window orders trickle: many of them take longer than that.
        """
        owner = task.batch.owner
        if self._restarts or self._is_narrow or self._is_troubled(owner):
            return
        for begin in task.begins:
            if self._is_troubled(begin.cluster):
                continue
            assert begin.at < at + SLACK_S, f"{_name(task)} was cancelled at {at} and began: {begin}"
            runs_on = begin.end in ("value", "raised", "retryable") and begin.at + task.seconds > at + SLACK_S
            assert not runs_on, f"{_name(task)} was cancelled at {at} and ran to its end: {begin}"

    def _is_troubled(self, peer: Incarnation) -> bool:
        return self._hosts[peer] in self._troubled or peer in self._given_up

    def _check_begins(self, task: Task) -> None:
        for number, again in enumerate(task.begins[1:]):
            for before in task.begins[: number + 1]:
                reason = self._may_follow(task, before, again)
                assert reason, f"{_name(task)} began at {before} and, without need, at {again}"

    def _may_follow(self, task: Task, before: Begin, again: Begin) -> bool:
        if before.end in _TRIED_AGAIN:
            return True
        owner = task.batch.owner
        peers = (before.cluster, again.cluster, owner, self._through[owner])
        if any(at <= again.at for peer in peers for at in self._given_up.get(peer, ())):
            return True
        takes_along = self._is_narrow or self._workload.laid
        if takes_along and self._left.get(before.cluster, again.at) < again.at:
            return True
        if value_of(task.call) in self._workload.gone:
            return True
        return any(
            self._was_late(peer, start, CLIENT_LATE_S if peer == owner else CLUSTER_LATE_S)
            or self._left.get(peer, again.at) < again.at  # perhaps before the client was back, with its results
            for peer in peers
            for start in self._restarts
            if self._since[peer] < start <= again.at
        )

    def _was_late(self, peer: Incarnation, start: float, patience_s: float) -> bool:
        """Whether a peer had not told in time after a restart what it has."""
        return not any(start <= at <= start + patience_s for at in self._came.get(peer, ()))

    def _count_attempts(self, task: Task) -> None:
        """Without a restart or lost peers, whose counts are lost with them, there are no more attempts than allowed."""
        takes_along = self._is_narrow or self._workload.laid
        if self._restarts or self._given_up or (takes_along and self._left):
            return
        allowed = task.options.retries + 1
        assert _ended(task, "retryable") <= allowed, f"{_name(task)} was tried too often: {task.begins}"
        # with two threads in a worker the first death is nobody's, the second alone is charged
        assert task.deaths <= 2 * allowed, f"{_name(task)} died too often: {task.begins}"


def _ended(task: Task, end: str) -> int:
    return sum(begin.end == end for begin in task.begins)


def _name(task: Task) -> str:
    return f"task {task.index} of {task.batch}"
