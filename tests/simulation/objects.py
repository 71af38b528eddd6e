"""Objects of simulated callers: values on their hosts that tasks need, and the copies of them that clusters fetch.

What is in one is never looked at: its name says which it is.
"""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from zlib import crc32

from scaler.ids import BatchId, Incarnation, ObjectId, TaskId, WorkerId
from scaler.ledger import events as ledger
from scaler.protocol import FetchChunks, ObjectChunk, ObjectsDropped
from scaler.protocol.columns import MAX_FRAME_BYTES, REFERENCE
from scaler.protocol.references import Reference, record_of
from scaler.protocol.result_names import maker_of, result_name
from scaler.worker import agent_events as agent
from scaler.worker.agent_result_events import (
    AdoptResults,
    DropLeftovers,
    DropResults,
    PieceRead,
    ReadPiece,
    ReadResult,
    ResultCommand,
    ResultGone,
    ResultRead,
)

#: the number of the batch that objects are tasks of
OBJECTS = 0
#: what stands for a piece: its size means nothing here
_PIECE = (b"piece",)


class _Life:
    """One object, as long as anybody here holds it."""

    def __init__(self, name: ObjectId, size_bytes: int, ended: Callable[[ObjectId], None]) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self._ended = ended

    def __repr__(self) -> str:
        return f"<the life of {self.name}>"

    def __del__(self) -> None:
        self._ended(self.name)


class CallerObjects:
    """The objects of one caller; `tell` has what happens to them taken in at its next turn."""

    def __init__(self, owner: Incarnation, tell: Callable[[list[ledger.Event]], None]) -> None:
        self._owner = owner
        self._tell = tell
        self._count = 0
        #: those that are needed, and those that may be: their batch is being submitted
        self.alive: weakref.WeakValueDictionary[ObjectId, _Life] = weakref.WeakValueDictionary()
        self._kept: dict[BatchId, dict[TaskId, _Life]] = {}

    def make(self, chance: Random, batch: BatchId, most_pieces: int) -> TaskId:
        """A new object for a batch, kept until that is `submitted`."""
        self._count += 1
        name = ObjectId(self._owner, self._count)
        life = _Life(name, chance.randint(1, most_pieces * MAX_FRAME_BYTES), self._end)
        self.alive[name] = life
        task = TaskId(BatchId(self._owner, OBJECTS), self._count)
        self._kept.setdefault(batch, {})[task] = life
        self._tell([ledger.ObjectMade(name, life.size_bytes)])
        return task

    def outcome(self, batch: BatchId, task: TaskId) -> ledger.KnownOutcome | None:
        """Where an object is that was made for a batch; None of any other task."""
        life = self._kept.get(batch, {}).get(task)
        if life is None:
            return None
        record = record_of(Reference(life.name, life.size_bytes, "/there", b"token"))
        return ledger.KnownOutcome(REFERENCE, (record,), kept=life)

    def submitted(self, batch: BatchId) -> None:
        """All calls of the batch that those made for it are for have been told of."""
        self._kept.pop(batch, None)

    def _end(self, name: ObjectId) -> None:
        self._tell([ledger.ObjectFreed(name)])

    def answer(self, wanted: FetchChunks) -> list[ledger.Say]:
        """Pieces of an object, or that it is gone."""
        life = self.alive.get(wanted.object)
        if life is None:
            return [ledger.Say(ObjectsDropped((wanted.object,)))]
        pieces = range(wanted.first, wanted.first + wanted.count)
        assert pieces[-1] * MAX_FRAME_BYTES < life.size_bytes, wanted
        return [ledger.Say(ObjectChunk(wanted.object, n, life.size_bytes), _PIECE) for n in pieces]


def is_near(name: ObjectId) -> bool:
    """Whether an object lies on the host of whoever needs it."""
    return name.n % 2 == 0


@dataclass(frozen=True, slots=True)
class Laying:
    """That workers lay some results in the store of their cluster, which is called so.

    `laid` has the values of all of them in a history, `gone` those whose file has vanished, where some are to.
    """

    owner: Incarnation
    laid: dict[ObjectId, bytes]
    gone: set[bytes] | None

    def is_large(self, call: bytes) -> bool:
        """Whether the value of a call is."""
        return crc32(call) % 3 == 0


class SimShelf:
    """The copies of one cluster, and the results that its workers have laid there."""

    def __init__(self, laying: Laying | None = None) -> None:
        self._laying = laying
        self._counts: Counter[WorkerId] = Counter()
        #: the files of results, and those that the agent has counted as its own
        self.results: dict[ObjectId, bytes] = {}
        self.adopted: set[ObjectId] = set()
        self._coming: dict[ObjectId, set[int]] = {}
        self._copies: dict[ObjectId, int] = {}

    def perform(self, command: agent.Hold | agent.StorePiece | agent.DropObject) -> list[agent.Event]:
        """Do what the agent asks; what is answered in the same turn."""
        match command:
            case agent.Hold(reference):
                near = is_near(reference.object) or reference.object in self.results
                return [agent.ObjectHere(reference) if near else agent.ObjectAway(reference.object)]
            case agent.StorePiece(name, size_bytes, n, _, is_first, is_last):
                assert is_first == (name not in self._coming), f"piece {n} of {name}"
                come = self._coming.setdefault(name, set())
                assert n not in come, f"piece {n} of {name} is stored again"
                come.add(n)
                assert is_last == (len(come) * MAX_FRAME_BYTES >= size_bytes), f"piece {n} of {name} of {size_bytes}"
                if not is_last:
                    return []
                del self._coming[name]
                self._copies[name] = size_bytes
                return [agent.ObjectHere(Reference(name, size_bytes, "/here", b"own"))]
            case agent.DropObject(name):
                self._coming.pop(name, None)
                self._copies.pop(name, None)
                return []

    def lay(self, worker: WorkerId, data: bytes) -> bytes:
        """A worker writes a result; the record of it, whose token is the value."""
        assert self._laying is not None
        self._counts[worker] += 1
        name = result_name(self._laying.owner, worker, self._counts[worker])
        self.results[name] = self._laying.laid[name] = data
        return record_of(Reference(name, 1 + crc32(data) % (2 * MAX_FRAME_BYTES), "/laid", data))

    def perform_on_results(self, command: ResultCommand) -> list[agent.Event]:
        """Do what the agent asks; what is answered in the same turn."""
        match command:
            case AdoptResults(names):
                assert self.results.keys() >= set(names), f"{names} are adopted, and have no files"
                assert not self.adopted.intersection(names), f"{names} are adopted again"
                self.adopted.update(names)
            case DropResults(names):
                assert self.adopted.issuperset(names), f"{names} are dropped, and were not adopted"
                self.adopted.difference_update(names)
                for name in names:
                    self.results.pop(name, None)
            case DropLeftovers(worker):
                left = [name for name in self.results if maker_of(name) == worker and name not in self.adopted]
                for name in left:
                    del self.results[name]
            case ReadPiece(name, n, to) if name in self._copies or name in self._coming:
                assert to, f"{name} is read for the scheduler, and is a copy"
                assert n in self._coming.get(name, (n,)), f"piece {n} of {name} is read, and has not come"
                return [PieceRead(name, n, _PIECE, to)]
            case ReadPiece(name, n, to):
                assert name in self.adopted, f"{name} is read, and is not there"
                if name.n % 29 == 0 and self._laying is not None and self._laying.gone is not None:
                    self._laying.gone.add(self.results.pop(name, b""))
                return [PieceRead(name, n, _PIECE, to) if name in self.results else ResultGone(name, to)]
            case ReadResult(name):
                return [ResultRead(name, (self.results[name],)) if name in self.results else ResultGone(name)]
        return []

    def check(self, reference: Reference) -> None:
        """A worker is to map what is there."""
        if self._laying is not None and reference.object.owner == self._laying.owner:
            return  # its own, which has gone meanwhile if nobody wants what the worker is to do
        if not is_near(reference.object):
            assert reference.path == "/here", f"a worker is to map {reference}, which is on another host"
            assert reference.object in self._copies, f"a worker is to map {reference}, which was dropped"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not self._coming and not self._copies and not self.results and not self.adopted
