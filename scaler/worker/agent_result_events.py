"""What the agent asks for and is told of results that workers have laid in the store of this cluster."""

from msgspec import Struct

from scaler.ids import ObjectId, WorkerId
from scaler.protocol.columns import Frame

# ---- events


class PieceRead(Struct, frozen=True):
    """Piece `n` of an object, as it is sent; the answer to `ReadPiece`, for whom that says."""

    object: ObjectId
    n: int
    frames: tuple[Frame, ...]
    to: int = 0


class ResultGone(Struct, frozen=True):
    """The other answer to both: there is no such file any more, or it cannot be read."""

    object: ObjectId
    to: int = 0


class ResultRead(Struct, frozen=True):
    """All of a result, in frames; the answer to `ReadResult`."""

    object: ObjectId
    frames: tuple[Frame, ...]


ResultEvent = PieceRead | ResultRead | ResultGone

# ---- commands


class AdoptResults(Struct, frozen=True):
    """The store owns these files from now on, which workers have written."""

    objects: tuple[ObjectId, ...]


class DropResults(Struct, frozen=True):
    """Nobody wants these results any more: remove their files, adopted or not."""

    objects: tuple[ObjectId, ...]


class DropLeftovers(Struct, frozen=True):
    """A worker is gone, and its results were adopted: remove whatever else it has written."""

    of: WorkerId


class ReadPiece(Struct, frozen=True):
    """Read one piece of an adopted result, or of a copy that has come; answered by `PieceRead` or `ResultGone`.

    That is in the same turn. It is for the scheduler (0), or for another cluster that has come by this connection.
    """

    object: ObjectId
    n: int
    to: int = 0


class ReadResult(Struct, frozen=True):
    """Read all of an adopted result; answered by `ResultRead` or `ResultGone` (in the same turn)."""

    object: ObjectId


ResultCommand = AdoptResults | DropResults | DropLeftovers | ReadPiece | ReadResult
