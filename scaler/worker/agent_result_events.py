"""What the agent asks for and is told of results that workers have laid in the store of this cluster."""

from msgspec import Struct

from scaler.ids import ObjectId, WorkerId
from scaler.protocol.columns import Frame

# ---- events


class PieceRead(Struct, frozen=True):
    """Piece `n` of a result, as one frame; the answer to `ReadPiece`."""

    object: ObjectId
    n: int
    frames: tuple[Frame, ...]


class ResultGone(Struct, frozen=True):
    """The other answer to `ReadPiece`: there is no such file any more, or it cannot be read."""

    object: ObjectId


ResultEvent = PieceRead | ResultGone

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
    """Read one piece of an adopted result; answered by `PieceRead` or `ResultGone` (in the same turn)."""

    object: ObjectId
    n: int


ResultCommand = AdoptResults | DropResults | DropLeftovers | ReadPiece
