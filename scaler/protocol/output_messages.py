"""What tasks print, on its way to their client."""

from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import NATURAL, Incarnation, Natural
from scaler.protocol.connection import Label, Place
from scaler.protocol.options import check_quantity

#: of one message, which is cut from more
MAX_PIECES = 256


class OutputPiece(Struct, frozen=True, array_like=True):
    """Whose a frame of an `Output` is: the call `index` of batch `n`, what its function is called, and where it ran.

    The batch is that of whoever submitted the call: the viewer, or a client inside one of its tasks, however deep.
    """

    n: Natural
    index: Natural
    name: Label
    place: Place
    is_error: bool


class Output(Struct, frozen=True, array_like=True, tag=110):
    """What tasks printed that a client is to see, a frame for each piece behind it. Cluster to scheduler to client.

    They are the client's own and those nested in them.
    Gathered for 100 ms or until the next results, rate-limited, and lost where there is no room: nothing answers it,
    and nobody keeps it. `dropped` lines were left out since the message before.
    """

    viewer: Annotated[Incarnation, NATURAL]
    pieces: Annotated[tuple[OutputPiece, ...], Meta(max_length=MAX_PIECES)]
    dropped: Natural = 0

    def __post_init__(self) -> None:
        check_quantity("dropped", self.dropped)
