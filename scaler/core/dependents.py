"""Tasks that need the values of others: they wait, are queued once all are there, and fail as the first that failed.

Their clients name them as they append calls. An outcome passes by on its way to its client; one that has passed before
is asked of the client that has it.
"""

from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from scaler.core.batches import Batch
from scaler.core.lifecycle import State, Trigger
from scaler.core.needs import Input, Outcome
from scaler.core.outbox import Outbox, cut
from scaler.core.spans import Wait
from scaler.core.tasks import TaskManager
from scaler.ids import Range, TaskId
from scaler.protocol import Failure, NeedInputs, Results, TasksFailed
from scaler.protocol.codec import decode_failure, encode_failure
from scaler.protocol.columns import CONTENT, FAILED, MAX_FRAME_BYTES, REFERENCE, Frame, ResultColumn
from scaler.protocol.inputs import Dependencies
from scaler.protocol.options import MAX_RANGES
from scaler.protocol.references import read_record
from scaler.ranges import joined, joined_indices, members_within

#: so many ranges of tasks fail in one turn, and those of one input: chains may be long, and others wait meanwhile
MOST_IN_A_TURN = 1000
#: a task looks so often for what it needs and is not there, pausing ever longer: the loss of a cluster takes a while
#: to be known
MOST_LOOKS = 5
FIRST_LOOK_S = 0.25


class Dependents:
    """Moves tasks as those they need end.

    `send` sends results to their client, `ready` queues a range of tasks.
    """

    def __init__(
        self,
        tasks: TaskManager,
        outbox: Outbox,
        send: Callable[[Results, tuple[Frame, ...]], None],
        ready: Callable[[Batch, int, int], None],
    ) -> None:
        self._tasks = tasks
        self._outbox = outbox
        self._send = send
        self._ready = ready
        #: inputs that ended so, and whose users have not been told
        self._ended: deque[tuple[Input, Outcome]] = deque()
        #: what has failed in this turn and its client has not been told, by batch and error
        self._failed: dict[tuple[int, int], tuple[Batch, Outcome, list[Range]]] = {}
        #: the lengths of all these lists
        self._ranges_failed = 0

    # ---- who needs what

    def depend(self, batch: Batch, dependencies: Dependencies) -> None:
        """Calls whose arguments have just come need others: those that are queued wait, unless all is there."""
        inputs, batches = self._tasks.inputs, self._tasks.batches
        asked = [task for index, tasks in dependencies.items() for task in inputs.need(batch, index, tasks, batches)]
        for at in range(0, len(asked), MAX_RANGES):
            self._outbox.send(batch.owner, NeedInputs(tuple(asked[at : at + MAX_RANGES])))
        self._hold_back(batch, dependencies)

    def queued(self, batch: Batch, lo: int, hi: int) -> None:
        """Of [lo, hi), which was just queued, nothing may be placed that lacks what it needs."""
        needs = batch.needs
        self._hold_back(batch, [index for index in members_within(needs, lo, hi) if not needs[index].is_ready])

    def _hold_back(self, batch: Batch, indices: Iterable[int]) -> None:
        """Those of these tasks that are queued and lack something wait for it."""
        needs = batch.needs
        for lo, hi in joined_indices(index for index in indices if index in needs and not needs[index].is_ready):
            for span in batch.spans.within(lo, hi):
                if span.state is State.QUEUED:
                    self._tasks.advance(batch, span.lo, span.hi, Trigger.UNREADY, wait=Wait.INPUTS)
            self._look_at(batch, range(lo, hi))

    # ---- what others need has ended

    def known(self, task: TaskId, outcome: Outcome) -> None:
        """A client answered what became of one of its tasks; it may not have heard that this is lost."""
        needed = self._tasks.inputs.get(task)
        if needed is None:
            return
        if (
            _is_stored(outcome)
            and task.batch.n
            and read_record(b"".join(outcome.data)).object.owner not in (self._outbox.peers)
        ):
            return
        self._ended.append((needed, outcome))

    def finished(self, batch: Batch, column: ResultColumn, lo: int, hi: int, attempts: int) -> None:
        """[lo, hi) of a column are the outcomes of these tasks, whenever their client has room for them."""
        for index in members_within(batch.wanted, lo, hi):
            self._ended.append((batch.wanted[index], Outcome(*column.one(index), attempts)))

    def lost(self, batch: Batch, lo: int, hi: int) -> None:
        """What [lo, hi) came to is nowhere any more: those who need it wait until it has been made anew."""
        for index in members_within(batch.wanted, lo, hi):
            self._unlearn(batch.wanted[index])

    def _unlearn(self, needed: Input) -> None:
        """Values that lie here are not lost."""
        if any(one is needed for one, _ in self._ended):
            self._ended = deque(entry for entry in self._ended if entry[0] is not needed or not _is_stored(entry[1]))
        outcome = needed.outcome
        if outcome is None or not _is_stored(outcome):
            return
        self._tasks.inputs.unlearned(needed)
        for serial, index in needed.users:
            batch = self._tasks.by_serial[serial]
            batch.needs[index].unlearn(outcome)
            self.queued(batch, index, index + 1)

    def looks_again_after_s(self, batch: Batch, index: int, times: int) -> float | None:
        """After which pause a task that could not have what it needs looks again; None if that is gone for good.

        What workers made is made anew once its cluster is known to be lost, and its client is asked for news of it.
        """
        needed = batch.needs.get(index)
        if needed is None:  # it was sent out by an earlier scheduler: what it needs comes when it is queued again
            return None if times >= MOST_LOOKS else FIRST_LOOK_S * 2.0**times
        if needed.missing:
            return 0.0
        made = [one for one in dict.fromkeys(needed.inputs) if one.task.batch.n]
        if not made or times >= MOST_LOOKS:
            return None
        made = [one for one in made if _is_stored(one.value)]  # others have come by value since
        for one in made:
            self._unlearn(one)
        asked = tuple(one.task for one in made if not self._tasks.inputs.is_coming(one.task, self._tasks.batches))
        if asked:
            self._outbox.send(batch.owner, NeedInputs(asked))
        return FIRST_LOOK_S * 2.0**times

    def failed(self, batch: Batch, ranges: Iterable[tuple[int, int]], failure: Failure) -> None:
        """These tasks ended without a result."""
        outcome = Outcome(FAILED, (encode_failure(failure),))
        for lo, hi in ranges:
            for index in members_within(batch.wanted, lo, hi):
                self._ended.append((batch.wanted[index], outcome))

    def tell(self) -> bool:
        """Move those who needed what has ended, and those who needed these in turn; False if another turn goes on."""
        while self._ended and self._ranges_failed < MOST_IN_A_TURN:
            self._pass_on(*self._ended.popleft())
        self._tell_gathered()
        return not self._ended

    def _pass_on(self, ended: Input, outcome: Outcome) -> None:
        """Move those who need a task, which ended so."""
        if ended.outcome is not None and _is_stored(ended.outcome) and outcome.status == CONTENT:
            self._unlearn(ended)  # its cluster leaves
        if ended.outcome is not None:
            return
        outcome = self._named(outcome, ended.task)
        self._tasks.inputs.learned(ended, outcome)
        users: dict[int, list[int]] = {}
        for serial, index in ended.users:
            users.setdefault(serial, []).append(index)
        for serial, indices in users.items():
            batch = self._tasks.by_serial[serial]
            for index in indices:
                batch.needs[index].learn(outcome)
            self._look_at(batch, indices)

    def _named(self, outcome: Outcome, task: TaskId) -> Outcome:
        """An outcome that may be passed on: a failure says of which task it is."""
        if outcome.status != FAILED:
            return outcome
        failure = decode_failure(b"".join(outcome.data))
        if failure.task:
            return outcome
        batch = self._tasks.batches.get(task.batch)
        name = f"{task} ({batch.options.name})" if batch is not None else str(task)
        attempts = outcome.attempts if failure.attempts == 1 else failure.attempts  # clusters do not count them
        return Outcome(FAILED, (encode_failure(replace(failure, task=name, attempts=attempts)),))

    def _look_at(self, batch: Batch, indices: Iterable[int]) -> None:
        """Queue those of the tasks that have all they need, and fail those that never will."""
        ready: list[int] = []
        failing: dict[int, tuple[Outcome, list[int]]] = {}
        for index in indices:
            span = batch.spans.at(index)
            if span is None or span.wait is not Wait.INPUTS:
                continue
            needed = batch.needs[index]
            if (outcome := needed.failure) is not None:
                failing.setdefault(id(outcome), (outcome, []))[1].append(index)
            elif not needed.missing:
                ready.append(index)
        for lo, hi in joined_indices(ready):
            for span in batch.spans.within(lo, hi):
                self._ready(batch, span.lo, span.hi)
        for outcome, failed in failing.values():
            self._fail(batch, joined_indices(failed), outcome)

    def _fail(self, batch: Batch, ranges: tuple[Range, ...], outcome: Outcome) -> None:
        """What these tasks need has failed, and so have they, with the same error."""
        for lo, hi in ranges:
            for span in batch.spans.within(lo, hi):
                self._tasks.advance(batch, span.lo, span.hi, Trigger.DEP_FAILED)
            for index in members_within(batch.wanted, lo, hi):
                self._ended.append((batch.wanted[index], outcome))
        gathered = self._failed.setdefault((batch.serial, id(outcome)), (batch, outcome, []))
        gathered[2].extend(ranges)
        self._ranges_failed += len(ranges)

    def _tell_gathered(self) -> None:
        """Tell clients of all that has failed in this turn: each error once for all of a batch that it ended."""
        failed, self._failed = self._failed, {}
        self._ranges_failed = 0
        for batch, outcome, parts in failed.values():
            ranges = joined(parts)
            if outcome.status == FAILED:
                failure = decode_failure(b"".join(outcome.data))
                for part in cut(ranges):
                    self._outbox.send(batch.owner, TasksFailed(batch.id, part, failure))
            else:
                self._tell_raised(batch, ranges, outcome)

    def _tell_raised(self, batch: Batch, ranges: tuple[Range, ...], outcome: Outcome) -> None:
        longest = max(hi - lo for lo, hi in ranges)
        most = max(1, min(longest, MAX_FRAME_BYTES // max(1, outcome.size_bytes)))
        column = outcome.column(most)  # all that is told shares its bytes
        for lo, hi in ranges:
            for first in range(lo, hi, most):
                last = min(hi, first + most)
                answer = Results(batch.id, first, last, 0, attempts=outcome.attempts)
                self._send(answer, column.slice(0, last - first).frames())


def _is_stored(outcome: Outcome) -> bool:
    """Whether the value lies with whoever made it."""
    return outcome.status == REFERENCE
