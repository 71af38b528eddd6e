"""Values that tasks returned and that lie in the store of whoever made them: read in place where that is this host.

Else they are fetched when they are read. Each is held there as long as anybody here holds what stands for it.
"""

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from scaler.client.freed import FreedValues
from scaler.client.waits import require_may_wait, time_left, wait_by
from scaler.errors import ObjectLostError, ProtocolError, ScalerError
from scaler.ids import ObjectId, TaskId
from scaler.ledger.events import Fetched, KnownOutcome, LetGo, ValueAsked
from scaler.payload.parts import load_parts
from scaler.payload.values import Outcome, load_value, opened
from scaler.protocol.columns import CONTENT, MAX_FRAME_BYTES, REFERENCE, frames_of
from scaler.protocol.layout import laid_out, parts_in
from scaler.protocol.references import Reference, read_record
from scaler.storage.reading import is_here, is_read, mapped, memory

#: so much may be copied to be read after its file has gone
MOST_COPIED_BYTES = 256 << 20


class Line(Protocol):
    """What is told of them."""

    freed: FreedValues

    @property
    def error(self) -> ScalerError:
        """Why nothing comes any more."""
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
        if self._parts is not None:  # its file may have gone
            return KnownOutcome(CONTENT, frames_of(b"".join(laid_out(self._parts))), self.outcome_now.attempts)
        return self.outcome_now._replace(kept=self)

    @property
    def size_bytes(self) -> int:
        """How large it is, where that is known without opening it."""
        reference = _reference(self.outcome_now)
        return 0 if reference is None else reference.size_bytes

    @property
    def is_far(self) -> bool:
        """Whether to read it is to wait for it."""
        return self._parts is None and self.outcome_now.status == REFERENCE and self._reference_here() is None

    def keep(self, most_bytes: int) -> int:
        """Read it from now on where it lies, if that is here, though its file will go; how much was copied for that.

        Nothing happens where more would have to be copied, or too many are mapped already.
        """
        copied = self.size_bytes if is_read(self.size_bytes) else 0
        if self._parts is None and copied <= most_bytes:
            self._parts = self._parts_here()
            return copied
        return 0

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
        """The value; waits for it if it lies on another host, or has to be made anew. Its arrays can be written to.

        Raises `TimeoutError` if it does not come in time, and `ObjectLostError` if it never will.
        """
        while True:
            outcome = self.outcome_now
            reference = _reference(outcome)
            if self._parts is None and reference is None:
                return load_value(outcome.status, b"".join(outcome.frames), outcome.attempts, str(self.task))
            parts = self._parts or self._parts_here()
            if parts is None and reference is not None:
                parts = self._values.fetch(self, outcome, reference)
            if parts is not None:
                return opened(functools.partial(load_parts, parts, are_ours=True))
            self._values.wait_for_another(self, outcome)


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
        #: it comes in pieces that are none of it
        self.is_wrong = False


class StoredValues:
    """All that this client holds. The I/O thread fills it, any thread reads."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._alive: weakref.WeakValueDictionary[TaskId, StoredValue] = weakref.WeakValueDictionary()
        self._coming: dict[ObjectId, _Coming] = {}
        #: guards what is coming; told of whatever changes
        self._changed = threading.Condition()
        self._is_over = False
        #: whether values are to be read after their files have gone
        self.keeps = True

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
                coming.is_wrong = True
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
            self._is_over = True
            self._changed.notify_all()

    def disown(self) -> None:
        """In a forked child: the parent's I/O thread brings nothing here, and a thread of it may have held the lock."""
        self._changed = threading.Condition()
        self._coming = {}
        self._is_over = True

    def keep_all(self) -> None:
        """All that lies on this host is read there from now on, since it will go, as far as that costs little."""
        left_bytes = MOST_COPIED_BYTES
        if not self.keeps:
            return
        for known in [one for ref in self._alive.valuerefs() if (one := ref()) is not None]:
            left_bytes -= known.keep(left_bytes)

    # ---- for values

    def let_go(self, task: TaskId, event: type[LetGo] = LetGo) -> None:
        """Nobody holds one; called in the midst of anything."""
        self._line.freed.note()
        self._line.post(event(task))

    def fetch(self, value: StoredValue, outcome: KnownOutcome, reference: Reference) -> list[memoryview] | None:
        """The parts of a value on another host; None if it is nowhere any more, or another has come instead."""
        require_may_wait("reading a value that lies on another host")
        name, size_bytes = reference.object, reference.size_bytes
        with self._changed:
            coming = self._coming.get(name)
            if coming is None:
                coming = self._coming[name] = _Coming(size_bytes)
                self._line.post(ValueAsked(name, size_bytes))
        self._wait(value.task, lambda: not coming.missing or coming.is_lost or value.outcome_now is not outcome)
        if coming.is_wrong:
            raise ObjectLostError(
                f"the value of task {value.task} came in pieces that are not its own: submit it again"
            )
        if not coming.missing:
            return parts_in(coming.content)
        if not coming.is_lost:
            with self._changed:
                self._coming.pop(name, None)
            self._line.post(ValueAsked(name, 0))
        return None

    def wait_for_another(self, value: StoredValue, lost: KnownOutcome) -> None:
        """Wait until a value that is lost has been made anew."""
        require_may_wait("reading a value that has to be made anew")
        self._wait(value.task, lambda: value.outcome_now is not lost)

    def _wait(self, task: TaskId, is_so: Callable[[], bool]) -> None:
        def attempt(seconds: float | None) -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: is_so() or self._is_over, seconds)

        if not wait_by(attempt, time_left()):
            raise TimeoutError("the value lies on another host, or is made anew, and is not here in time")
        if not is_so():
            raise ObjectLostError(
                f"the value of task {task} lies on another host, and {self._line.error}: submit it again"
            )
