"""Values of simulated tasks that stay where they were made: each is its record, whose token is the value.

A caller holds what stands for one for a while, perhaps reads it from another host, and lets go of it.
"""

import weakref
from collections.abc import Callable
from random import Random

from scaler.ids import ObjectId, TaskId
from scaler.ledger import events as ledger
from scaler.protocol.columns import MAX_FRAME_BYTES, REFERENCE
from scaler.protocol.references import Reference, read_record
from tests.simulation.clock import Clock

#: so long a caller holds one at most before it reads it, or lets go of it
LONGEST_S = 2.0


class Token:
    """Stands for one value, as long as anybody here holds it."""

    def __init__(self, task: TaskId, outcome: ledger.KnownOutcome, ended: Callable[[TaskId], None]) -> None:
        self.task = task
        self.outcome = outcome
        self._ended = ended

    def __repr__(self) -> str:
        return f"<the value of {self.task}>"

    def __del__(self) -> None:
        self._ended(self.task)


class CallerStored:
    """All that one caller holds; `tell` has what it does taken in at its next turn."""

    def __init__(
        self,
        clock: Clock,
        chance: Random,
        tell: Callable[[list[ledger.Event]], None],
        judge: Callable[[TaskId, ledger.KnownOutcome], None],
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._tell = tell
        self._judge = judge
        self.alive: weakref.WeakValueDictionary[TaskId, Token] = weakref.WeakValueDictionary()
        #: those that the caller itself holds
        self._held: dict[TaskId, Token] = {}
        #: those it reads from another host, and how many pieces are missing
        self._reading: dict[ObjectId, tuple[TaskId, int]] = {}

    # ---- for the ledger

    def hold(self, task: TaskId, outcome: ledger.KnownOutcome) -> object:
        """What stands for a value."""
        known = self.alive.get(task)
        if known is None:
            known = self.alive[task] = Token(task, outcome, self._end)
        else:
            self._judge(task, outcome)
            known.outcome = outcome
        return known

    def replace(self, task: TaskId, outcome: ledger.KnownOutcome) -> None:
        """What has become of one that was lost."""
        known = self.alive.get(task)
        if known is not None:
            self._judge(task, outcome)
            known.outcome = outcome

    def is_held(self, task: TaskId) -> bool:
        """Whether anybody holds it."""
        return task in self.alive

    def _end(self, task: TaskId) -> None:
        self._tell([ledger.LetGo(task)])

    # ---- the caller

    def came(self, task: TaskId, token: object) -> None:
        """The caller has it from now on, for a while."""
        assert isinstance(token, Token)
        self._held[task] = token
        act = self._read if self._chance.random() < 0.4 else self.let_go
        self._clock.after(self._chance.random() * LONGEST_S, lambda: act(task))

    def outcome(self, task: TaskId) -> ledger.KnownOutcome | None:
        """The same for tasks that need it, while the caller has it."""
        token = self._held.get(task)
        return None if token is None else token.outcome._replace(kept=token)

    def let_go(self, task: TaskId) -> None:
        """The caller needs it no more."""
        self._held.pop(task, None)

    def _read(self, task: TaskId) -> None:
        token = self._held.get(task)
        if token is None:
            return
        reference = reference_in(token.outcome)
        if reference is None:  # it was made anew, and came by value
            self.let_go(task)
            return
        if reference.object not in self._reading:
            self._reading[reference.object] = task, -(-reference.size_bytes // MAX_FRAME_BYTES)
            self._tell([ledger.ValueAsked(reference.object, reference.size_bytes)])

    def fetched(self, name: ObjectId) -> None:
        """A piece of one has come."""
        task, missing = self._reading.pop(name)
        if missing > 1:
            self._reading[name] = task, missing - 1
        else:
            self.let_go(task)

    def not_there(self, name: ObjectId) -> None:
        """One is nowhere any more: another will come, or has."""
        task, _ = self._reading.pop(name)
        self._clock.after(0.1, lambda: self._read(task))

    def drop(self) -> None:
        """The caller drops all it has."""
        self._held.clear()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is held or read."""
        return not self.alive and not self._reading


def reference_in(outcome: ledger.KnownOutcome) -> Reference | None:
    """The record in an outcome, if it is one."""
    return read_record(b"".join(outcome.frames)) if outcome.status == REFERENCE else None
