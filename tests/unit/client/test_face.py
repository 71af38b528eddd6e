"""A client inside a task: the link and the line it speaks by, and whose it is."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed, wait
from typing import Any

import pytest

from scaler import Client
from scaler.client.config import ClientConfig
from scaler.client.face import Face, FaceDialer, FaceLink, Heard
from scaler.client.futures import ScalerFuture
from scaler.client.options import nested_options
from scaler.errors import ClientQuitException, DisconnectedError
from scaler.ids import BatchId, Epoch, Incarnation, TaskId
from scaler.link.events import (
    ConnectionLost,
    Deliver,
    Dial,
    GaveUp,
    LinkUp,
    Outgoing,
    PacketArrived,
    Transmit,
)
from scaler.net.transport import Arrived, Lost
from scaler.payload import nested
from scaler.payload.nested import Attempt, Standing
from scaler.protocol import BatchOptions, ChildLinked, ClearClient, Goodbye, Resumed, WorkersReady
from scaler.protocol.codec import Header

CONFIG = ClientConfig(
    "tcp://127.0.0.1:1", "", 60.0, 2.0, None, insecure=False, insecure_off_loopback=False, environment={}
)
NAME = TaskId(BatchId(Incarnation(3), 4), 5)
STANDING = Standing(2, -5, Incarnation(9), Epoch(7))


def arrived(message: object, *frames: bytes) -> PacketArrived:
    return PacketArrived(Header(1, 0, message), frames)


# ---- the link


def test_it_dials_once_and_is_up_when_it_is_told_so():
    link = FaceLink(Heard())
    assert link.handle([], 0.0) == [Dial()]
    assert link.handle([arrived(ChildLinked(Epoch(7), 1))], 0.0) == [LinkUp(Epoch(7), resumed=False)]
    assert link.next_deadline() is None


def test_what_is_said_acknowledges_the_link_that_was_heard_of_last():
    link = FaceLink(Heard())
    link.handle([arrived(ChildLinked(Epoch(7), 1))], 0.0)
    assert link.handle([Outgoing(Resumed()), Outgoing(ClearClient(), (b"x",))], 0.0) == [
        Transmit(1, 1, Resumed(), ()),
        Transmit(2, 1, ClearClient(), (b"x",)),
    ]
    link.handle([arrived(ChildLinked(Epoch(8), 2))], 0.0)
    assert link.handle([Outgoing(Resumed())], 0.0) == [Transmit(3, 2, Resumed(), ())]


def test_what_comes_is_handed_on():
    link = FaceLink(Heard())
    link.handle([], 0.0)
    assert link.handle([arrived(WorkersReady(ready=True), b"x")], 0.0) == [Deliver(WorkersReady(ready=True), (b"x",))]


def test_it_speaks_at_once_where_another_has_heard_of_the_link():
    heard = Heard()
    first = FaceLink(heard)
    first.handle([arrived(ChildLinked(Epoch(7), 3))], 0.0)
    second = FaceLink(heard)
    assert second.handle([Outgoing(Resumed())], 0.0) == [
        Dial(),
        LinkUp(Epoch(7), resumed=False),
        Transmit(1, 3, Resumed(), ()),
    ]
    assert second.handle([arrived(ChildLinked(Epoch(7), 3))], 0.0) == []
    assert second.handle([arrived(ChildLinked(Epoch(8), 4))], 0.0) == [LinkUp(Epoch(8), resumed=False)]
    assert heard == Heard(Epoch(8), 4)


def told(outputs: list[object]) -> tuple[type[BaseException], str]:
    (output,) = outputs
    assert isinstance(output, GaveUp)
    return type(output.error), str(output.error)


def test_it_gives_up_when_it_is_let_out_or_the_line_ends():
    link = FaceLink(Heard())
    link.handle([], 0.0)
    assert told([*link.handle([arrived(Goodbye("no more"))], 0.0)]) == (ClientQuitException, "no more")
    assert told([*link.handle([ConnectionLost("cut")], 0.0)]) == (DisconnectedError, "cut")


# ---- the line


class FakeLine:
    """A line with messages that have come, and those that were sent."""

    def __init__(self, *messages: list[bytes] | None) -> None:
        self.messages = deque(messages)
        self.sent: list[Sequence[bytes | memoryview]] = []
        self.is_closed = False

    def fileno(self) -> int:
        return 77

    def receive(self) -> Any:  # Any: frames of either kind
        if not self.messages:
            raise BlockingIOError
        return self.messages.popleft()

    def send(self, frames: Sequence[bytes | memoryview]) -> None:
        self.sent.append(frames)

    def close(self) -> None:
        self.is_closed = True


def test_the_dialler_tells_what_has_come_and_the_end_once():
    line = FakeLine([b"a"], [b"b", b"c"], None, [b"never"])
    dialer = FaceDialer(line)
    assert dialer.filenos() == [77]
    assert dialer.receive(1) == [Arrived(0, [b"a"])]
    assert dialer.receive(9) == [
        Arrived(0, [b"b", b"c"]),
        Lost(0, "the worker cluster has closed the line of this client"),
    ]
    assert dialer.receive(9) == []
    assert not dialer.pending()


def test_the_dialler_sends_and_closes():
    line = FakeLine()
    dialer = FaceDialer(line)
    dialer.send([b"a"])
    dialer.close()
    assert (line.sent, line.is_closed, dialer.receive(5)) == ([[b"a"]], True, [])


# ---- whose it is


class FakeTask:
    """A task that runs until it is told that it is over."""

    def __init__(self) -> None:
        self.name = NAME
        self.standing = STANDING
        self.is_over = False
        self.belongings: dict[object, object] = {}
        self.ends: list[Any] = []
        self.waits: list[float | None] = []

    def at_end(self, action: Any) -> None:
        self.ends.append(action)

    def open_line(self, _child: Incarnation) -> FakeLine:
        return FakeLine()

    def wait(self, attempt: Attempt, timeout_s: float | None) -> bool:
        self.waits.append(timeout_s)
        return attempt(timeout_s)

    def end(self) -> None:
        self.is_over = True
        for action in self.ends:
            action()


class FakePlace:
    def __init__(self) -> None:
        self.held: FakeTask | None = None

    def task(self) -> Any:  # Any: a task as far as it matters here
        return self.held


@pytest.fixture
def place() -> Iterator[FakePlace]:
    """This thread runs the tasks of a slot."""
    made = FakePlace()
    nested.occupy(made)
    yield made
    nested.leave()


@pytest.fixture
def task(place: FakePlace) -> Iterator[FakeTask]:
    task = place.held = FakeTask()
    yield task
    task.end()


def test_a_client_has_one_side_in_each_task(place: FakePlace, task: FakeTask):
    face = Face(CONFIG)
    side = face.side()
    assert face.side() is side
    other = place.held = FakeTask()
    assert face.side() is not side
    assert face.side().incarnation != side.incarnation
    other.end()
    place.held = task
    assert face.side() is side


def test_two_clients_have_sides_of_their_own(task: FakeTask):
    assert Face(CONFIG).side() is not Face(CONFIG).side()
    assert len(task.belongings) == 2


def test_a_side_ends_with_its_task(task: FakeTask):
    face = Face(CONFIG)
    side = face.side()
    task.end()
    assert side.io.left_because.startswith("the task that this client was used in has ended")
    with pytest.raises(ClientQuitException, match="has ended"):
        face.side()


@pytest.mark.usefixtures("place")
def test_a_client_that_is_used_in_no_task_says_so():
    with pytest.raises(ClientQuitException, match="can be used while its task runs"):
        Face(CONFIG).side()


def test_what_a_task_submits_inherits_where_it_stands(task: FakeTask):
    options = nested_options(BatchOptions(name="f", priority=2), task)
    assert options == BatchOptions(name="f", priority=-3, parent=NAME, depth=3, root=Incarnation(9))


def test_what_is_inside_of_a_quiet_task_is_quiet(task: FakeTask):
    task.standing = STANDING._replace(is_quiet=True)
    assert (task.standing.viewer, STANDING.viewer) == (None, Incarnation(9))
    assert nested_options(BatchOptions(), task).quiet


def test_nothing_is_nested_deeper_or_more_urgent_than_can_be_told(task: FakeTask):
    task.standing = STANDING._replace(depth=65_535, priority=2**63 - 1)
    options = nested_options(BatchOptions(priority=7), task)
    assert (options.depth, options.priority) == (65_535, 2**63 - 1)


# ---- waits


def test_the_waits_of_the_standard_library_are_those_of_the_task(task: FakeTask):
    future = ScalerFuture(_Nowhere(), 0)
    done, waiting = wait([future, Future()], 0.01)
    assert (len(done), len(waiting)) == (0, 2)
    with pytest.raises(TimeoutError):
        list(as_completed([future], 0.01))
    with pytest.raises(TimeoutError):
        future.result(0.01)
    assert task.waits == pytest.approx([0.01, 0.01, 0.01], abs=0.01)


class _Nowhere:
    def task_id(self, index: int) -> TaskId:
        return TaskId(NAME.batch, index)

    def unwant(self, index: int) -> None:
        raise AssertionError(index)


def test_it_says_that_it_is_inside_a_task_even_once_that_has_ended(task: FakeTask):
    nested.settle("tcp://127.0.0.1:7")
    client = Client()
    task.end()
    assert repr(client) == "<Client tcp://127.0.0.1:7 inside a task>"
    assert client._repr_html_() == "<b>Client</b> <code>tcp://127.0.0.1:7</code> inside a task"
