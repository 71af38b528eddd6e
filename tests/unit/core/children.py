"""What clients inside tasks say and are told."""

from scaler.core.events import Event, Received, Send
from scaler.ids import BatchId, Incarnation, RunId, TaskId
from scaler.protocol import BatchOptions, ChildSays, FromClient, TellChild
from scaler.protocol.columns import Frame
from tests.unit.core.examples import ALICE, A, X, run_id

CHILD, OTHER = Incarnation(101), Incarnation(102)
C = BatchId(CHILD, 1)
RUN = run_id(1)
NESTED = BatchOptions(name="f", parent=TaskId(A, 0), depth=1, root=ALICE)
#: what call 0 of that one submits
DEEPER = BatchOptions(name="f", parent=TaskId(C, 0), depth=2, root=ALICE)


def says(
    message: FromClient,
    frames: tuple[Frame, ...] = (),
    child: Incarnation = CHILD,
    run: RunId = RUN,
    peer: Incarnation = X,
) -> Received:
    """What a child says that is inside of call 0 of a run."""
    return Received(peer, ChildSays(child, run, 0, message), frames)


def through(events: list[Event], child: Incarnation = CHILD, run: RunId = RUN, peer: Incarnation = X) -> list[Event]:
    """What a client would say, said by a child."""
    return [says(event.message, event.frames, child, run, peer) for event in events if isinstance(event, Received)]  # type: ignore[arg-type]  # of a client


def tell(command: object, peer: Incarnation = X) -> Send:
    """What a client would be told, told to a child."""
    assert isinstance(command, Send)
    return Send(peer, TellChild(command.peer, command.message), command.frames)  # type: ignore[arg-type]  # a client's
