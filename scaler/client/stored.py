"""Values that tasks returned and that lie in the store of whoever made them: read in place where that is this host.

Else they are fetched when they are read. Each is held there as long as anybody here holds what stands for it.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from scaler.client.freed import FreedValues
from scaler.client.waits import require_may_wait, wait_by
from scaler.errors import ObjectLostError, ProtocolError, ScalerError
from scaler.ids import ObjectId, TaskId
from scaler.ledger.events import Fetched, KnownOutcome, LetGo, ValueAsked
from scaler.payload.diagnosis import FOR_CLIENTS, not_loadable
from scaler.payload.parts import load_parts
from scaler.payload.values import Outcome, load_value
from scaler.protocol.columns import MAX_FRAME_BYTES, REFERENCE
from scaler.protocol.layout import parts_in
from scaler.protocol.references import Reference, read_record
from scaler.storage.reading import is_here, mapped, may_map, memory


class Line(Protocol):
    """What is told of them."""

    freed: FreedValues

    @property
    def error(self) -> ScalerError:
        """Why nothing comes any more."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more."""
        ...

    def post(self, *events: LetGo | ValueAsked) -> None:
        """Tell the ledger, in order."""
        ...


class StoredValue:
    """What one task returned."""

    __slots__ = ("__weakref__", "_parts", "_values", "outcome_now", "task")

    def __init__(self, values: "StoredValues", task: TaskId, outcome: KnownOutcome) -> None:
        self.task = task
        #: what it came to last: if its maker was lost, the task has run again
        self.outcome_now = outcome
        self._values = values
        #: it is read in place since before it could go
        self._parts: list[memoryview] | None = None
        # once nobody can find it any more; `__del__` would come before
        weakref.finalize(self, values.let_go, task).atexit = False

    def outcome(self) -> KnownOutcome:
        """The same for tasks that need it."""
        return self.outcome_now._replace(kept=self)

    @property
    def is_far(self) -> bool:
        """Whether to read it is to wait for it."""
        return self._parts is None and self._reference_here() is None

    def keep(self) -> None:
        """Read it from now on where it lies, if that is here, though its file will go; not more than can be mapped."""
        if self._parts is None and may_map():
            self._parts = self._parts_here()

    def _parts_here(self) -> list[memoryview] | None:
        reference = self._reference_here()
        try:
            return None if reference is None else mapped(reference.path, is_ours=True)
        except (OSError, ValueError):  # it is gone, or there are too many open files
            return None

    def _reference_here(self) -> Reference | None:
        reference = _reference(self.outcome_now)
        return reference if reference is not None and is_here(reference.path, reference.token) else None

    def open(self) -> Outcome:
        """The value; waits for it if it lies on another host, or has to be made anew. Its arrays can be written to."""
        while True:
            outcome = self.outcome_now
            reference = _reference(outcome)
            if reference is None:
                return load_value(outcome.status, b"".join(outcome.frames), outcome.attempts, str(self.task))
            try:
                parts = self._parts or self._parts_here() or self._values.fetch(reference)
                if parts is not None:
                    return Outcome(load_parts(parts, are_ours=True))
                self._values.wait_for_another(self, outcome)
            except ScalerError as error:
                return Outcome(None, error)
            except Exception as error:  # noqa: BLE001  # whatever a class's own code raises
                lost = not_loadable("the result", error, FOR_CLIENTS)
                lost.__cause__ = error
                return Outcome(None, lost)


def _reference(outcome: KnownOutcome) -> Reference | None:
    if outcome.status != REFERENCE:
        return None
    try:
        return read_record(b"".join(outcome.frames))
    except ProtocolError:
        return None


class _Coming:
    """A value on its way."""

    def __init__(self, size_bytes: int) -> None:
        self.content = memory(size_bytes)
        self.missing = -(-size_bytes // MAX_FRAME_BYTES)
        self.is_lost = False


class StoredValues:
    """All that this client holds. The I/O thread fills it, any thread reads."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._alive: weakref.WeakValueDictionary[TaskId, StoredValue] = weakref.WeakValueDictionary()
        self._coming: dict[ObjectId, _Coming] = {}
        #: guards what is coming; told of whatever changes
        self._changed = threading.Condition()

    # ---- for the ledger

    def hold(self, task: TaskId, outcome: KnownOutcome) -> object:
        """What stands for a value, which lies there."""
        known = self._alive.get(task)
        if known is None:
            known = self._alive[task] = StoredValue(self, task, outcome)
        else:
            self._set(known, outcome)
        return known

    def replace(self, task: TaskId, outcome: KnownOutcome) -> None:
        """A value was lost, and this is what its task has come to since."""
        known = self._alive.get(task)
        if known is not None:
            self._set(known, outcome)

    def _set(self, known: StoredValue, outcome: KnownOutcome) -> None:
        with self._changed:
            known.outcome_now = outcome
            self._changed.notify_all()

    def is_held(self, task: TaskId) -> bool:
        """Whether anybody holds it."""
        return task in self._alive

    def fetched(self, piece: Fetched) -> None:
        """A piece of one has come."""
        with self._changed:
            coming = self._coming.get(piece.object)
            if coming is None:
                return
            at = piece.n * MAX_FRAME_BYTES
            content = b"".join(piece.frames)
            if len(content) != min(MAX_FRAME_BYTES, len(coming.content) - at):
                self._lose(piece.object, coming)
                return
            coming.content[at : at + len(content)] = content
            coming.missing -= 1
            if not coming.missing:
                del self._coming[piece.object]
                self._changed.notify_all()

    def not_there(self, name: ObjectId) -> None:
        """One is nowhere any more."""
        with self._changed:
            if (coming := self._coming.get(name)) is not None:
                self._lose(name, coming)

    def _lose(self, name: ObjectId, coming: _Coming) -> None:
        coming.is_lost = True
        del self._coming[name]
        self._changed.notify_all()

    def over(self) -> None:
        """Nothing comes any more."""
        with self._changed:
            self._changed.notify_all()

    def keep_all(self) -> None:
        """All that lies on this host is read there from now on, since it will go."""
        for known in list(self._alive.values()):
            known.keep()

    # ---- for values

    def let_go(self, task: TaskId, event: type[LetGo] = LetGo) -> None:
        """Nobody holds one; called in the midst of anything."""
        self._line.freed.note()
        self._line.post(event(task))

    def fetch(self, reference: Reference) -> list[memoryview] | None:
        """The parts of a value on another host; None if it is nowhere any more."""
        require_may_wait("reading a value that lies on another host")
        name, size_bytes = reference.object, reference.size_bytes
        with self._changed:
            coming = self._coming.get(name)
            if coming is None:
                coming = self._coming[name] = _Coming(size_bytes)
                self._line.post(ValueAsked(name, size_bytes))
        self._wait(lambda: not coming.missing or coming.is_lost)
        return None if coming.is_lost else parts_in(coming.content)

    def wait_for_another(self, value: StoredValue, lost: KnownOutcome) -> None:
        """Wait until a value that is lost has been made anew."""
        require_may_wait("reading a value that has to be made anew")
        self._wait(lambda: value.outcome_now is not lost)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        def attempt(seconds: float | None) -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: is_so() or self._line.is_over, seconds)

        wait_by(attempt, None)
        if not is_so():
            raise ObjectLostError(f"the value lies on another host, and {self._line.error}")
