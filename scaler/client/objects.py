"""The objects of a client: values in files of its host that travel by name, each there as long as anybody needs it.

To tasks that need it an object is an input like any other, whose outcome is known beforehand: a record that says where
the file is. Whoever holds that outcome keeps the file.
"""

import hashlib
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from scaler.client.freed import FreedValues
from scaler.errors import ClientQuitException, MissingObjects, ObjectLostError
from scaler.ids import BatchId, Incarnation, ObjectId, TaskId
from scaler.ledger.events import KnownOutcome, ObjectFreed, ObjectMade, Say
from scaler.payload.inputs import inline, stand_in, stand_in_for_pickled
from scaler.payload.parts import Frozen, array_of, dump_parts, frozen, load_parts
from scaler.payload.pickling import dumps
from scaler.pieces import piece_frames
from scaler.protocol import FetchChunks, ObjectChunk, ObjectsDropped
from scaler.protocol.columns import MAX_FRAME_BYTES, REFERENCE, Frame
from scaler.protocol.layout import parts_size
from scaler.protocol.references import Reference, record_of
from scaler.storage.reading import mapped, parts_of, piece
from scaler.storage.store import Store, StoredFile

#: equal contents up to this size are one object
EQUAL_BYTES = 1 << 20
#: the number of the batch that objects are tasks of; no batch of calls has it
_OBJECTS = 0
_FIXED = (bytes, str)
#: so much is compared at a time: what is copied for that stays in the processor's caches
_COMPARED_BYTES = 256 << 10


class Line(Protocol):
    """What is told of objects."""

    freed: FreedValues

    def post(self, *events: ObjectMade | ObjectFreed) -> None:
        """Tell the ledger, in order."""
        ...


class _Life:
    """One object, as long as anybody here needs it."""

    __slots__ = ("__weakref__", "name", "stored")

    def __init__(self, name: ObjectId, stored: StoredFile) -> None:
        self.name = name
        self.stored = stored

    def reference(self) -> Reference:
        """Where it is."""
        return Reference(self.name, self.stored.size_bytes, str(self.stored.path), self.stored.token)

    def is_still(self, value: Any) -> bool:  # Any: whatever users send
        """Whether a value that may have changed is what was written of it."""
        try:
            return _are_equal(_parts_of(value), mapped(str(self.stored.path)))
        except FileNotFoundError:
            return False


class Uploaded:
    """An object as an input of tasks: pickled among the arguments of a call it stands for its value."""

    def __init__(self, life: _Life, name: str = "", *, is_lifted: bool = False) -> None:
        self._life = life
        #: what its user calls it
        self.name = name
        #: it was an argument that nobody has sent on purpose
        self.is_lifted = is_lifted

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return self._life.stored.size_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in(self)

    def __repr__(self) -> str:
        return f"object {self._life.name.owner:016x}-{self._life.name.n}"

    def value(self) -> Any:  # Any: whatever users send
        """What was sent; its arrays cannot be written to. `ObjectLostError` if somebody has removed it."""
        return load_parts(parts_of(self._life.reference()))

    @property
    def task(self) -> TaskId:
        """Its name among those of tasks."""
        owner, n = self._life.name
        return TaskId(BatchId(owner, _OBJECTS), n)

    def outcome(self) -> KnownOutcome:
        """Where its value is."""
        return KnownOutcome(REFERENCE, (record_of(self._life.reference()),), kept=self._life)


class ObjectReference:
    """A value that `Client.send_object` has sent, to be passed to tasks in its place, also within other arguments.

    `size` is what it takes in bytes. The value is freed when the last reference to it is gone and no task needs it.
    """

    #: for serializers of the users' own
    stands_for_value = True

    def __init__(self, name: str, size: int, object_id: str, held: Uploaded | bytes) -> None:
        self.name = name
        self.size = size
        self.object_id = object_id
        self._held: Uploaded | bytes | None = held
        self._dropped_by = ""

    def __repr__(self) -> str:
        return f"ObjectReference(name={self.name!r}, size={self.size}, object_id={self.object_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Among the arguments of a call it stands for its value; elsewhere it cannot be pickled."""
        held = self._require()
        try:
            return stand_in_for_pickled(held) if isinstance(held, bytes) else stand_in(held)
        except TypeError:
            text = "can only be an argument of a call: elsewhere pass what its value() returns"
            raise TypeError(f"the object {self.name!r} {text}") from None

    def value(self) -> Any:  # Any: whatever users send
        """What was sent; `MissingObjects` if that was dropped. Its arrays cannot be written to."""
        held = self._require()
        try:
            return load_parts((held,)) if isinstance(held, bytes) else held.value()
        except ObjectLostError as error:
            raise ObjectLostError(f"{self.name!r}, {error}: send it again") from None

    def _require(self) -> Uploaded | bytes:
        if self._held is None:
            raise MissingObjects(f"the object {self.name!r} was dropped by {self._dropped_by}: send it again")
        return self._held

    def drop(self) -> None:
        """Free its value, once no task needs it any more; using it then is a `MissingObjects`. Again: nothing."""
        self.forget("drop()")

    def forget(self, by: str) -> None:
        """Its value is there no more, since somebody has called this."""
        if self._held is not None:
            self._held, self._dropped_by = None, by


class Objects:
    """All objects of one client. Any thread may make some; what lets go of the last of one may come in the midst."""

    def __init__(self, line: Line, owner: Incarnation, make_store: Callable[[], Store]) -> None:
        self._line = line
        self._owner = owner
        self._make_store = make_store
        self._store: Store | None = None
        self._is_closed = False
        self._lock = threading.RLock()  # the handler of a signal may have the client leave
        self._count = 0
        #: those that are there, by number
        self._lives: weakref.WeakValueDictionary[int, _Life] = weakref.WeakValueDictionary()
        #: by identity, the values that some of them were made of; those that cannot be referred to weakly are kept
        self._same: dict[Hashable, tuple[Callable[[], Any], weakref.ref[_Life]]] = {}
        #: by a hash of their content, those that are small enough for that
        self._equal: weakref.WeakValueDictionary[bytes, _Life] = weakref.WeakValueDictionary()
        self._references: weakref.WeakSet[ObjectReference] = weakref.WeakSet()

    def send(self, value: Any, name: str | None) -> ObjectReference:  # Any: whatever users send
        """A new object; a small value is kept as it is pickled."""
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of an object is a str, not {name!r:.50}")
        parts = dump_parts(value)
        size = parts_size(parts)
        small = dumps(value, frozen) if size <= inline.most_bytes else None
        with self._lock:
            self._count += 1
            n = self._count
            name = name or f"{type(value).__name__}-{n}"
            held = Uploaded(self._made(n, parts, None), name) if small is None else small
            reference = ObjectReference(name, size, f"{self._owner:016x}-{n}", held)
            self._references.add(reference)
        return reference

    def lift(self, value: Any) -> Uploaded | Frozen | None:  # Any: as above
        """What stands for a large value that can be sent by itself, or for an array in a task; None for others."""
        if not is_large(value):
            return frozen(value)
        with self._lock:
            life = self._same_as(value)
            if life is None:
                parts = _parts_of(value)
                self._count += 1
                equal = _digest(parts) if parts_size(parts) <= EQUAL_BYTES else b""
                life = self._equal.get(equal) or self._made(self._count, parts, value)
                if equal:
                    self._equal[equal] = life
        return Uploaded(life, is_lifted=True)

    def _same_as(self, value: Any) -> _Life | None:  # Any: as above
        known = self._same.get(_identity(value))
        if known is None or not (known[0]() is value or _is_buffer(value)):
            return None
        life = known[1]()
        if life is None or type(value) in _FIXED or life.is_still(value):
            return life
        self._same.pop(_identity(value), None)  # it has changed since
        return None

    def _made(self, n: int, parts: Sequence[Frame], of: Any) -> _Life:  # Any: as above
        """A new object of these parts; the lock is held."""
        if self._is_closed:
            raise ClientQuitException("the client has left; make a new Client")
        if self._store is None:
            self._store = self._make_store()
        life = _Life(ObjectId(self._owner, n), self._store.write(f"{self._owner:016x}-{n}", parts))
        weakref.finalize(life, self._ended, life.name, _identity(of)).atexit = False
        if of is not None:
            self._same[_identity(of)] = _referred(of), weakref.ref(life)
        self._lives[n] = life
        self._line.post(ObjectMade(life.name, life.stored.size_bytes))
        return life

    def _ended(self, name: ObjectId, of: Hashable) -> None:
        """Nobody needs an object any more, which was made of the value with this identity."""
        known = self._same.get(of)
        if known is not None and known[1]() is None:
            self._same.pop(of, None)
        self._line.freed.note()
        self._line.post(ObjectFreed(name))

    def clear(self) -> None:
        """Drop all that was sent: references to it stand for nothing from now on."""
        with self._lock:
            for reference in list(self._references):
                reference.forget("clear()")

    def tell_again(self) -> None:
        """The scheduler was told to forget all: some may still be needed, to submit anew what failed."""
        with self._lock:
            lives = list(self._lives.values())
        for life in lives:
            self._line.post(ObjectMade(life.name, life.stored.size_bytes))

    def close(self) -> None:
        """Remove all of them: the client has left."""
        with self._lock:
            self._is_closed = True
            if self._store is not None:
                self._store.remove()

    def answer(self, wanted: FetchChunks) -> list[Say]:
        """Pieces of an object that a cluster on another host asks for, or that it is gone."""
        life = self._lives.get(wanted.object.n) if wanted.object.owner == self._owner else None
        if life is None:
            return [Say(ObjectsDropped((wanted.object,)))]
        said: list[Say] = []
        try:
            for n in range(wanted.first, wanted.first + wanted.count):
                data = piece(life.stored.path, n * MAX_FRAME_BYTES, MAX_FRAME_BYTES)
                if data:
                    said.append(Say(ObjectChunk(wanted.object, n, life.stored.size_bytes), piece_frames(data)))
        except OSError:  # somebody has removed it
            return [Say(ObjectsDropped((wanted.object,)))]
        return said


def _identity(value: Any) -> Hashable:  # Any: as above
    """What tells a value from others while it lives; Arrow makes buffers anew whenever they are asked for."""
    return (value.address, value.size) if _is_buffer(value) else id(value)


def _is_buffer(value: Any) -> bool:  # Any: as above
    return type(value).__name__ == "Buffer" and type(value).__module__ == "pyarrow.lib"


def _referred(value: Any) -> Callable[[], Any]:  # Any: as above
    """What gives a value back, if possible without keeping it."""
    try:
        return (lambda: value) if _is_buffer(value) else weakref.ref(value)
    except TypeError:
        return lambda: value


def is_large(value: Any, most_bytes: int | None = None) -> bool:  # Any: as above
    """Whether a value is one that lies in a buffer of its own, and larger than that, or than goes with a call."""
    kind = type(value)
    most_bytes = inline.most_bytes if most_bytes is None else most_bytes
    if kind in (bytes, bytearray, str):
        return len(value) > most_bytes
    if (array := array_of(value)) is not None:
        return bool(array.nbytes > most_bytes and not array.dtype.hasobject)
    if _is_buffer(value):
        return bool(value.size > most_bytes)
    return False


def _parts_of(value: Any) -> tuple[Frame, ...]:  # Any: as above
    """A large value in parts; of an array that is not in one piece a copy that is, so that it can be read in place."""
    array = array_of(value)
    if array is None:
        return dump_parts(value)
    return dump_parts(array if array.flags.forc else array.copy(order="K"))


def _digest(parts: Sequence[Frame]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _are_equal(ours: Sequence[Frame], theirs: Sequence[Frame]) -> bool:
    """Whether parts are the same; copies of some of them are compared, ten times faster than views."""
    if [len(part) for part in ours] != [len(part) for part in theirs]:
        return False
    return all(
        bytearray(one[at : at + _COMPARED_BYTES]) == bytearray(other[at : at + _COMPARED_BYTES])
        for one, other in zip(ours, theirs, strict=True)
        for at in range(0, len(one), _COMPARED_BYTES)
    )
