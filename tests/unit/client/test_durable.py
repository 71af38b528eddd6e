"""Clients of durable work against a scheduler of a few lines: opening, the disk, what there was, and leaving."""

import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from scaler import Client
from scaler.client import farewell, near
from scaler.client.io_thread import IoThread
from scaler.client.sinks import MapSink
from scaler.client.way import Way
from scaler.errors import ClientQuitException, ConfigurationError, DurableError
from scaler.ids import BatchId, FunctionId, Incarnation, Range
from scaler.payload import nested
from scaler.payload.calls import pickle_call, single_column
from scaler.protocol import (
    Acknowledged,
    AppendTasks,
    BatchOptions,
    CancelTasks,
    Cause,
    ClearClient,
    Failure,
    FromClient,
    Goodbye,
    OpenBatch,
    OpenWork,
    Results,
    Resume,
    TasksFailed,
    WorkBatch,
    WorkBatches,
    WorkOpened,
)
from tests.unit.client.examples import resolved
from tests.unit.client.scripted import Answer, Scripted

WORK = Incarnation(77)
G = FunctionId(b"g" * 16)
FIRST, SECOND = BatchId(WORK, (5 << 32) + 1), BatchId(WORK, (3 << 32) + 1)
HAD = (WorkBatch(FIRST, G, "g", 2, 2), WorkBatch(SECOND, G, "h", 1, 0))
Make = Callable[..., tuple[Client, Scripted]]


def opening(message: FromClient) -> list[Answer]:
    """What a scheduler says that has the two batches."""
    if isinstance(message, OpenWork):
        return [WorkBatches(HAD[:1]), WorkBatches(HAD[1:]), WorkOpened(message.name, WORK)]
    return []


def on_disk(message: FromClient) -> list[Answer]:
    """…, and puts on disk whatever it is told."""
    if isinstance(message, AppendTasks):
        return [Acknowledged(message.batch, message.lo + message.count)]
    return opening(message)


def outcomes(batch: BatchId, lo: int, *values: Any) -> Answer:
    column = resolved(lo, *values).column
    return Results(batch, lo, column.hi, 0, "host", 1), column.frames()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes clients of the work "nightly" whose scheduler follows a script."""
    made: list[IoThread] = []

    def make_one(script: Callable[[FromClient], list[Answer]] = opening, durable: str | None = "nightly") -> Any:
        scripted = Scripted(script)
        monkeypatch.setattr(near, "way_to_scheduler", lambda *_: Way(scripted, scripted, "to-client"))
        client = Client("tcp://host:1", durable=durable)
        made.append(client._io)
        return client, scripted

    yield make_one
    monkeypatch.setattr(farewell, "LEAVE_S", 0.01)
    for io in made:
        io.leave("the test is over")


def submitted(scripted: Scripted) -> list[BatchId]:
    return [message.batch for message in scripted.said if isinstance(message, OpenBatch)]


class Made:
    """What a client was made of."""

    def __init__(self, address: str, *_: object, durable: str | None, **__: object) -> None:
        self.address, self.durable = address, durable


# ---- opening


def test_the_work_is_opened_before_all_else_and_owns_all_batches(make: Make):
    client, scripted = make(on_disk)
    client.submit(abs, -1)
    client.map_async(abs, [1, 2])
    client.flush(5)
    assert scripted.said[0] == OpenWork("nightly")
    [first, second] = submitted(scripted)
    assert (first.owner, second.owner, second.n - first.n) == (WORK, WORK, 1)
    assert first.n & ((1 << 32) - 1) == 1
    assert first.n >> 32 not in {5, 3}
    options = [message.options for message in scripted.said if isinstance(message, OpenBatch)]
    assert options == [BatchOptions(name="abs", retries=2, durable="nightly")] * 2


def test_a_work_that_is_refused_is_an_error_of_the_constructor(make: Make):
    def refusing(message: FromClient) -> list[Answer]:
        return [WorkOpened("nightly", Incarnation(0), "it belongs to another key")] if opening(message) else []

    with pytest.raises(DurableError, match=r"^durable work 'nightly': it belongs to another key$"):
        make(refusing)


@pytest.mark.parametrize(
    "told", [WorkOpened("nightly", WORK, "the durable work 'nightly' was dropped"), WorkOpened("nightly", WORK + 1)]
)
def test_a_work_that_is_dropped_ends_the_client_for_everybody_who_waits(make: Make, told: WorkOpened):
    client, scripted = make()
    future = client.submit(abs, -1)
    scripted.tell(client._io, told)
    with pytest.raises(DurableError, match=r"^the durable work 'nightly' was dropped"):
        future.result(5)
    with pytest.raises(DurableError, match=r"^the durable work 'nightly' was dropped"):
        client.flush()
    assert isinstance(scripted.said[-1], Goodbye)


@pytest.mark.parametrize(
    ("name", "error"), [(7, TypeError), ("", ValueError), ("x" * 257, ValueError), ("a\nb", ValueError)]
)
def test_a_name_is_printable_text(name: Any, error: type[Exception]):
    with pytest.raises(error, match=r"^durable must be "):
        Client("tcp://host:1", durable=name)


def test_no_scheduler_is_started_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("SCALER_ADDRESS", raising=False)
    with pytest.raises(ConfigurationError, match=r"^durable work needs a scheduler that outlives this process"):
        Client(durable="nightly")


def test_a_client_inside_a_task_is_never_durable(monkeypatch: pytest.MonkeyPatch, make: Make):
    pickled = pickle.dumps(make()[0])
    monkeypatch.setattr(nested, "is_home", lambda *_: True)
    with pytest.raises(DurableError, match=r"^a client inside a task ends with its task"):
        Client("tcp://host:1", durable="nightly")
    monkeypatch.setattr(nested, "address", lambda: "tcp://host:1")
    assert pickle.loads(pickled)._config.durable == ""  # noqa: S301  # our own bytes


def test_a_pickled_client_has_the_same_work(make: Make):
    client, _ = make()
    function, values = client.__reduce__()
    made = function(Made, *values[1:])
    assert (made.address, made.durable) == ("tcp://host:1", "nightly")


# ---- the disk


def test_a_task_is_acknowledged_once_it_is_on_disk(make: Make):
    client, scripted = make()
    future, of_map = client.submit(abs, -1), client.map_async(abs, [1, 2])
    for call in (future.acknowledged, of_map.acknowledged, of_map[1].acknowledged, client.flush):
        with pytest.raises(TimeoutError, match=r" is not on disk after 0 s$"):
            call(0)
    [first, second] = submitted(scripted)
    scripted.tell(client._io, Acknowledged(first, 1), Acknowledged(second, 1))
    assert (future.acknowledged(5), of_map[0].acknowledged(5), of_map[0].acknowledged(0)) == (True, True, True)
    with pytest.raises(TimeoutError, match=r"^task [0-9a-f]+-[0-9]+-1 is not on disk"):
        of_map.acknowledged(0)
    scripted.tell(client._io, outcomes(second, 1, 2))
    assert (of_map.acknowledged(5), client.flush(5), client.map_async(abs, []).acknowledged()) == (True, None, True)


def test_a_future_that_was_cancelled_is_not_waited_for(make: Make):
    client, _ = make()
    future = client.submit(abs, -1)
    future.cancel()
    with pytest.raises(CancelledError):
        future.acknowledged(5)


def test_who_waits_for_the_disk_is_told_when_the_client_leaves(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(farewell, "LEAVE_S", 0.05)
    client, scripted = make()
    future = client.submit(abs, -1)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            future.acknowledged()
        except ClientQuitException as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    while not client._io.work._waiting:
        pass
    client.disconnect()
    waiter.join(5)
    assert len(errors) == 1
    with pytest.raises(ClientQuitException):
        future.acknowledged()
    with pytest.raises(ClientQuitException):
        client.flush()
    assert isinstance(scripted.said[-1], Goodbye)


def test_a_client_without_durable_work_has_no_disk(make: Make):
    client, scripted = make(durable=None)
    future = client.submit(abs, -1)
    told = r"in memory alone: a client made with durable=NAME keeps its tasks on disk$"
    for call in (future.acknowledged, client.map_async(abs, [1]).acknowledged, client.flush, client.futures):
        with pytest.raises(DurableError, match=told):
            call()
    assert not any(isinstance(message, OpenWork) for message in scripted.said)


def test_what_is_known_of_the_disk_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scaler.client.durable.MOST_KNOWN", 2)
    client, _ = make()
    for n in range(5):
        client._io.work.learn(Acknowledged(BatchId(WORK, n), 1))
    assert list(client._io.work._on_disk) == [BatchId(WORK, 3), BatchId(WORK, 4)]


# ---- what is different


def test_large_values_go_by_value(make: Make):
    client, scripted = make(on_disk)
    large = bytes(1 << 20)
    client.submit(len, large)
    client.map_async(len, [large])
    client.flush(5)
    assert client._batches.lift is None
    assert {type(message).__name__ for message in scripted.said} == {
        *("OpenWork", "Resumed", "DefineFunction", "OpenBatch", "AppendTasks", "CloseBatch"),
    }
    with pytest.raises(DurableError, match=r"pass the value itself$"):
        client.send_object(large)


def test_what_was_drawn_to_its_end_goes_on_though_nobody_here_wants_it_any_more(make: Make):
    client, scripted = make(on_disk)
    whole, begun = (client._batches.draft(abs, {}, MapSink) for _ in range(2))
    for draft in (whole, begun):
        draft.append(single_column(0, pickle_call((1,))), {})
    whole.close()
    client.flush(5)
    for draft in (whole, begun):
        draft.give_up()
    client.flush(5)
    assert [message for message in scripted.said if isinstance(message, CancelTasks)] == [
        CancelTasks(begun.sink.batch, (Range(0, 1),))
    ]


# ---- what there was


def test_futures_are_those_of_all_tasks_in_order_and_the_same_again(make: Make):
    client, scripted = make(on_disk)
    futures = client.futures()
    assert [future.task for future in futures] == [(FIRST, 0), (FIRST, 1), (SECOND, 0)]
    assert all(one is other for one, other in zip(futures, client.futures(), strict=True))
    scripted.tell(client._io, outcomes(FIRST, 0, "a", "b"), outcomes(SECOND, 0, "c"))
    assert [future.result(5) for future in futures] == ["a", "b", "c"]
    assert all(future.acknowledged(5) for future in futures)
    resumed = [message for message in scripted.said if isinstance(message, Resume)]
    assert resumed == [
        Resume(FIRST, G, BatchOptions(name="g", durable="nightly"), None, (Range(0, 2),)),
        Resume(SECOND, G, BatchOptions(name="h", durable="nightly"), None, (Range(0, 1),)),
    ]


def test_nothing_is_asked_for_before_futures_are(make: Make):
    client, scripted = make(on_disk)
    client.submit(abs, -1)
    client.flush(5)
    assert not any(isinstance(message, Resume) for message in scripted.said)


def test_a_batch_that_is_told_of_later_is_none_of_them(make: Make):
    client, scripted = make()
    later = WorkBatch(BatchId(WORK, 1), G, "g", 1, 0)
    scripted.tell(client._io, WorkBatches((later,)))
    scripted.tell(client._io, WorkOpened("nightly", WORK))
    assert len(client.futures()) == 3


def test_they_can_be_arguments_and_be_cancelled(make: Make):
    client, scripted = make(on_disk)
    first, _, last = client.futures()
    client.submit(abs, first)
    client.cancel([last])
    client.flush(5)
    assert last.cancelled()
    assert [message for message in scripted.said if isinstance(message, CancelTasks)] == [
        CancelTasks(SECOND, (Range(0, 1),))
    ]
    [appended] = [message for message in scripted.said if isinstance(message, AppendTasks)]
    assert appended.dependency_frames


def test_a_future_of_another_client_of_the_work_is_no_argument(make: Make):
    client, other = make()[0], make()[0]
    future = other.submit(abs, -1)
    with pytest.raises(ValueError, match="is another client's"):
        client.submit(abs, future)


def test_one_that_failed_is_not_submitted_anew(make: Make):
    client, scripted = make()
    futures = client.futures()
    scripted.tell(client._io, TasksFailed(FIRST, (Range(0, 1),), Failure(Cause.DIED, "signal 9")))
    assert futures[0].exception(5) is not None
    with pytest.raises(ValueError, match=r"was submitted by another process, which has its call: submit it anew$"):
        client.retry(futures)


def test_clear_drops_them(make: Make):
    client, scripted = make()
    futures = client.futures()
    client.clear()
    assert all(future.cancelled() for future in futures)
    assert client.futures() == futures
    other, told = make()
    other.clear()
    assert other.futures() == []
    other.disconnect()
    assert [type(message) for message in told.said[-2:]] == [ClearClient, Goodbye]
    client.disconnect()
    assert ClearClient() in scripted.said


# ---- leaving


def test_leaving_waits_until_all_is_on_disk(make: Make):
    waiting: list[AppendTasks] = []

    def slow(message: FromClient) -> list[Answer]:
        if isinstance(message, AppendTasks):
            waiting.append(message)
        return opening(message)

    client, scripted = make(slow)
    client.submit(abs, -1)
    leaving = threading.Thread(target=client.disconnect)
    leaving.start()
    while not (waiting and client._io._farewell.is_begun):
        pass
    assert not any(isinstance(message, Goodbye) for message in scripted.said)
    scripted.tell(client._io, Acknowledged(waiting[0].batch, 1))
    leaving.join(5)
    assert isinstance(scripted.said[-1], Goodbye)
    assert not any(isinstance(message, CancelTasks) for message in scripted.said)


def test_leaving_takes_a_moment_at_most(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(farewell, "LEAVE_S", 0.05)
    client, scripted = make()
    future = client.submit(abs, -1)
    client.disconnect()
    assert isinstance(scripted.said[-1], Goodbye)
    with pytest.raises(ClientQuitException):
        future.result(0)


def test_a_client_that_nobody_holds_leaves_at_once(make: Make):
    client, scripted = make(on_disk)
    future, thread = client.submit(abs, -1), client._io._thread
    del client
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert isinstance(scripted.said[-1], Goodbye)
    with pytest.raises(ClientQuitException, match=r"^the client is gone$"):
        future.result(5)
