"""What a hostile peer with a good key says: valid messages bent, frames of noise, and lies about what it was given.

Every train of frames begins with a `Hello` and is drawn by a seed; nothing here touches a socket.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from scaler.ids import (
    SECRET_BYTES,
    BatchId,
    Epoch,
    FunctionId,
    Incarnation,
    ObjectId,
    Range,
    RunId,
    TaskId,
    incarnation_of,
)
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    CancelTasks,
    CloseBatch,
    ClusterReady,
    Confirmed,
    DefineFunction,
    ExplainTask,
    Goodbye,
    Heartbeat,
    Held,
    Hello,
    Holding,
    NeedFunction,
    ObjectsMade,
    OpenBatch,
    Rejected,
    ResendFrom,
    Resume,
    RetractAnswered,
    Returned,
    ReturnReason,
    Running,
    SpanResult,
    Taken,
    Versions,
    WorkerDied,
)
from scaler.protocol.codec import Sendable, pack
from scaler.protocol.options import MAX_INDEX
from tests.unit.protocol import examples

_OF_OTHERS = [message for message in examples.EVERY if not isinstance(message, ClusterReady | Goodbye)]
#: a frame that no decoder takes: every train can end with it
NONSENSE = b"\xc1"
#: such a first index and such a count still make a range
_LARGE = MAX_INDEX // 2
_EDGES = (0, 1, 2, 3, 7, 2**16, 2**31, 2**32, MAX_INDEX - 1, MAX_INDEX, MAX_INDEX + 1, 2**63 - 1, 2**63, 2**64 - 1)
_LARGE = 300_000

Frames = list[bytes]


class _Said(NamedTuple):
    seq: int
    message: Sendable
    frames: tuple[bytes, ...]
    ack: int = 0


class Liar:
    """One connection's worth of lies of a role; `victims` and `epoch` are names that are somebody else's.

    A worker offers `slots`: without any it is given nothing, which would be lost with it.
    """

    def __init__(
        self,
        chance: random.Random,
        role: str,
        versions: Versions,
        victims: Sequence[Incarnation],
        epoch: Epoch,
        slots: int = 0,
    ) -> None:
        self._chance = chance
        self._role = role
        self._versions = versions
        self._epoch = epoch
        self._slots = slots
        self._secret = chance.randbytes(SECRET_BYTES)
        self.peer = incarnation_of(self._secret)
        self._owners = (self.peer, self.peer, *victims)
        self._seq = 0
        self._appended = 0
        self._kinds: dict[Callable[[], list[Frames]], int] = {
            self._bent: 30,
            self._bent_bytes: 25,
            self._lie: 30,
            self._noise: 5,
            self._out_of_turn: 10,
            self._absurd: 1,
            self._harmless: 10,
        }

    def train(self, length: int) -> list[Frames]:
        """So many messages behind a `Hello`, and behind a description where the role needs one."""
        if self._chance.random() < 0.03:
            return self._stranger()[:length]
        hello = Hello(self._role, self.peer, Incarnation(0), 0, 0, self._versions, "liar", secret=self._secret)
        said = self._packed(_Said(0, hello, ()))
        if self._role == "worker" and self._chance.random() < 0.5:
            said += self._next(ClusterReady("liar", "nowhere", 1, self._slots, self._slots))
        while len(said) < length:
            kind = self._chance.choices(list(self._kinds), list(self._kinds.values()))[0]
            said += kind()
        return said[:length]

    # ---- kinds

    def _harmless(self) -> list[Frames]:
        return self._packed(_Said(0, Heartbeat(self._edge() if self._chance.random() < 0.2 else self._seq), ()))

    def _bent(self) -> list[Frames]:
        """A message that is well formed, with fields of its own that may fit nothing."""
        message = self._example()
        bent = msgspec.to_builtins(message, builtin_types=(bytes,))
        tag, *fields = bent if isinstance(bent, list | tuple) else [bent]
        for _ in range(self._chance.choice((0, 1, 1, 2))):
            if fields:
                at = self._chance.randrange(len(fields))
                fields[at] = self._bend(fields[at])
        header = [self._count(), self._edge() if self._chance.random() < 0.1 else 0, [tag, *fields]]
        return [[msgspec.msgpack.encode([header]), *self._columns()]]

    def _bent_bytes(self) -> list[Frames]:
        """A valid message with some bits, bytes or parts of it changed."""
        message = self._example()
        frames = self._next(message, *self._columns())[0]
        at = self._chance.randrange(len(frames))
        data = bytearray(frames[at] or b"\0")
        for _ in range(self._chance.choice((1, 1, 2, 8))):
            place = self._chance.randrange(len(data))
            match self._chance.randrange(5):
                case 0:
                    data[place] ^= 1 << self._chance.randrange(8)
                case 1:
                    data[place] = self._chance.randrange(256)
                case 2:
                    data[place:place] = self._chance.randbytes(self._chance.randrange(1, 9))
                case 3:
                    del data[place + 1 :]
                case _:
                    data[place:place] = data[: self._chance.randrange(1, 17)]
        frames[at] = bytes(data)
        return [frames]

    def _noise(self) -> list[Frames]:
        count = self._chance.choice((1, 1, 2, 5))
        return [[self._chance.randbytes(self._chance.choice((0, 1, 10, 100, 5000))) for _ in range(count)]]

    def _out_of_turn(self) -> list[Frames]:
        """Repeated, early, or impossible numbers, and what only others may say."""
        message = self._chance.choice([self._example(), self._chance.choice(_OF_OTHERS)])
        seq = self._chance.choice((0, self._seq, self._seq, self._seq + 2, self._seq + 1000, *_EDGES))
        said = self._packed(_Said(min(seq, 2**64 - 1), message, ()))
        if self._chance.random() < 0.3:
            said += self._packed(_Said(0, ResendFrom(self._edge()), ()))
        return said

    def _absurd(self) -> list[Frames]:
        """Sizes nobody needs."""
        absurd: list[Frames] = [
            [b"\x91" * _LARGE],
            [b"\xdd\xff\xff\xff\xff" + b"\x01" * 100],
            [b"\x91\xc6\xff\xff\xff\xff"],
            [b"\x91\xdb\x7f\xff\xff\xff" + b"x" * 1000],
            [b"\x80" * _LARGE],
            [msgspec.msgpack.encode([[self._seq + 1, 0, [50, "n" * _LARGE, "h", 1, 1, 1]]])],
            [msgspec.msgpack.encode([[0, 0, [1, 0]]] * 2000)],
            [msgspec.msgpack.encode([[0, 0, [1, 0]]]), *[b""] * 5000],
            [b"x" * ((1 << 20) + 1)],
            [],
        ]
        return [self._chance.choice(absurd) or [b""]]

    def _lie(self) -> list[Frames]:
        """What would be believed of somebody else, or of another time."""
        lies = _CLIENT_LIES if self._role == "client" else _WORKER_LIES
        return self._chance.choice(lies)(self)

    def _stranger(self) -> list[Frames]:
        """Words before a `Hello`, or a `Hello` that cannot be."""
        chance = self._chance
        versions = chance.choice((self._versions, Versions(99, "2.7", 0)))
        role = chance.choice(("client", "worker", "operator", "scheduler", "", "x" * 300))
        hello = Hello(role, self.peer, Incarnation(self._edge()), self._edge(), chance.choice((-1, 0)), versions)
        first = chance.choice((Heartbeat(0), hello, chance.choice(examples.EVERY)))
        return [*self._packed(_Said(0, first, ())), *self._packed(_Said(0, hello, ()))]

    # ---- lies of a client

    def _open_batch(self) -> list[Frames]:
        self._appended = 0
        options = BatchOptions(tag=self._chance.choice((None, "liar")), retries=self._chance.choice((0, 3)))
        return self._next(OpenBatch(self._batch(), self._function(), options))

    def _append(self) -> list[Frames]:
        count = self._chance.choice((1, 1, 2, 5, 100))
        lo = self._chance.choice((self._appended, self._appended, 0, self._edge() % _LARGE))
        sizes = [self._chance.choice((0, 1, 30)) for _ in range(count)]
        offsets = [self._chance.choice((0, 0, 2**40))]
        for size in sizes:
            offsets.append(offsets[-1] + size)
        if self._chance.random() < 0.4:
            offsets[self._chance.randrange(len(offsets))] = self._edge()
        said = self._next(AppendTasks(self._batch(), lo, count), _words(offsets), self._chance.randbytes(sum(sizes)))
        if self._chance.random() < 0.5:
            self._appended = lo + count
        return said

    def _close(self) -> list[Frames]:
        return self._next(CloseBatch(self._batch(), self._chance.choice((self._appended, self._edge()))))

    def _resume(self) -> list[Frames]:
        return self._next(Resume(self._batch(), self._function(), BatchOptions(), None, self._ranges()))

    def _take(self) -> list[Frames]:
        return self._next(self._chance.choice((Taken, CancelTasks))(self._batch(), self._ranges()))

    def _define(self) -> list[Frames]:
        data = self._chance.randbytes(40)
        return self._next(DefineFunction(self._function(), self._chance.choice((40, 40, self._edge()))), data)

    def _make_objects(self) -> list[Frames]:
        return self._next(ObjectsMade(((ObjectId(self._owner(), self._edge()), self._edge()),)))

    def _explain(self) -> list[Frames]:
        return self._next(ExplainTask(TaskId(self._batch(), self._edge())))

    # ---- lies of a worker

    def _result(self) -> list[Frames]:
        count = self._chance.choice((1, 1, 2, 9))
        lo = self._chance.choice((0, 0, 1, self._edge() % _LARGE))
        base = self._chance.choice((0, 0, self._edge() % 2**62))
        ends = [base + 3 * (index + 1) for index in range(count)]
        if self._chance.random() < 0.4:
            ends[self._chance.randrange(count)] = self._edge()
        statuses = bytes(self._chance.choice((0, 0, 0, 1, 2, 3, 4, 5, 255)) for _ in range(count))
        costs = self._chance.choice((b"", bytes(8 * count)))
        running = self._chance.choice(((), ((self._run(), self._edge()),)))
        message = SpanResult(self._run(), lo, lo + count, base, "nowhere/1", running)
        return self._next(message, statuses, bytes(4 * count), _words(ends), costs, b"lie" * count)

    def _hold(self) -> list[Frames]:
        running = tuple(self._edge() % _LARGE for _ in range(self._chance.choice((0, 1, 3))))
        held = Held(self._batch(), self._run(), self._ranges(), running, self._ranges())
        return self._next(Holding((held,) * self._chance.choice((1, 2))))

    def _return(self) -> list[Frames]:
        return self._next(Returned(self._run(), self._ranges(), self._chance.choice(list(ReturnReason))))

    def _answer(self) -> list[Frames]:
        lo, hi = self._range()
        return self._next(
            self._chance.choice((RetractAnswered(self._run(), lo, hi), Confirmed(self._run(), self._ranges())))
        )

    def _report(self) -> list[Frames]:
        return self._next(Running(tuple((self._run(), self._edge()) for _ in range(self._chance.choice((0, 1, 50))))))

    def _need(self) -> list[Frames]:
        return self._next(NeedFunction(self._function()))

    def _obituary(self) -> list[Frames]:
        return self._next(WorkerDied(self._edge(), -11, "x" * self._chance.choice((0, 10_000))))

    # ---- parts

    def _example(self) -> Sendable:
        message = self._chance.choice(examples.BY_DIRECTION[self._role])
        # who offers slots is given work, which is lost with it
        is_harmful = isinstance(message, ClusterReady) and not self._slots
        # after a goodbye nothing is looked at any more
        is_last = isinstance(message, Goodbye) and self._chance.random() < 0.95
        return Heartbeat(0) if is_harmful or is_last else message

    def _count(self) -> int:
        self._seq += 1
        return self._seq

    def _next(self, message: Sendable, *frames: bytes) -> list[Frames]:
        is_numbered = not isinstance(message, Hello | Heartbeat | ResendFrom | Rejected)
        return self._packed(_Said(self._count() if is_numbered else 0, message, frames))

    @staticmethod
    def _packed(packet: _Said) -> list[Frames]:
        return [[bytes(frame) for frame in frames] for frames in pack([packet])]

    def _edge(self) -> int:
        return self._chance.choice(_EDGES)

    def _owner(self) -> Incarnation:
        return self._chance.choice(self._owners)

    def _batch(self) -> BatchId:
        return BatchId(self._owner(), self._chance.choice((1, 1, 1, 2, 3)))

    def _run(self) -> RunId:
        return RunId(
            self._chance.choice((self._epoch, self._epoch, Epoch(1))), self._chance.choice((1, 2, 3, 50, 1000))
        )

    def _function(self) -> FunctionId:
        return FunctionId(self._chance.choice((bytes(16), bytes(range(16)), b"", b"x" * 100)))

    def _range(self) -> Range:
        lo = self._chance.choice((0, 0, 1, 5, _LARGE))
        return Range(lo, lo + self._chance.choice((1, 2, 10, 2**20, _LARGE)))

    def _ranges(self) -> tuple[Range, ...]:
        return tuple(self._range() for _ in range(self._chance.choice((0, 1, 1, 2, 3))))

    def _columns(self) -> Frames:
        return [
            self._chance.randbytes(self._chance.choice((0, 8, 24))) for _ in range(self._chance.choice((0, 0, 2, 5)))
        ]

    def _bend(self, value: object) -> object:
        chance = self._chance
        others = (None, True, -1, self._edge(), 1.5, float("nan"), "", "x" * chance.choice((1, 300, 5000)), b"\0", [])
        if isinstance(value, int) and chance.random() < 0.7:
            return chance.choice((self._edge(), -(self._edge() >> 2), (value + 1) % 2**64))
        if isinstance(value, list | tuple) and value and chance.random() < 0.6:
            bent = list(value)
            at = chance.randrange(len(bent))
            bent[at] = self._bend(bent[at])
            return bent * chance.choice((1, 1, 1, 2, 30))
        return chance.choice(others)


def _words(numbers: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


_CLIENT_LIES = (
    Liar._open_batch,
    Liar._append,
    Liar._append,
    Liar._close,
    Liar._resume,
    Liar._take,
    Liar._define,
    Liar._make_objects,
    Liar._explain,
)
_WORKER_LIES = (
    Liar._result,
    Liar._result,
    Liar._hold,
    Liar._return,
    Liar._answer,
    Liar._report,
    Liar._need,
    Liar._obituary,
)
