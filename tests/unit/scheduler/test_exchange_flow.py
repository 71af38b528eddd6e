"""A client that does not read: what its link has no room for is not kept by the scheduler, but asked for later."""

from contextlib import ExitStack

from scaler.core import events as core
from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from scaler.ids import Range, RunId
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    ClusterReady,
    DefineFunction,
    Heartbeat,
    NeedResults,
    OpenBatch,
    Results,
    SpanResult,
)
from tests.unit.scheduler.examples import ANN, BATCH, EPOCH, WORKS, F, Peer, Scheduler
from tests.unit.scheduler.fakes import FakeCore

WINDOW = 4000
#: with its header and columns, a quarter of the window
VALUE_BYTES = 1000 - 64 - 13
RUN = RunId(EPOCH, 1)
CALLS = (b"".join((4 * n).to_bytes(8, "little") for n in range(9)), b"call" * 8)


def test_the_core_hears_of_room_in_the_next_turn_which_is_at_once(fake: Scheduler):
    fake.dial(ANN)
    assert isinstance(fake.core, FakeCore)
    room = fake.links.room_bytes(ANN)
    fake.core.asks = [core.AwaitRoom(ANN, room)]
    assert fake.turn()
    assert not fake.turn()
    assert fake.core.told[-1] == (core.RoomFound(ANN, room),)


def finish(works: Peer, *indices: int) -> None:
    for index in indices:
        frames = (b"\0", bytes(4), VALUE_BYTES.to_bytes(8, "little"), b"", bytes(VALUE_BYTES))
        works.say((SpanResult(RUN, index, index + 1, 0, "works, worker 0"), frames))


def had(ann: Peer) -> list[int]:
    return [message.lo for message in ann.heard() if isinstance(message, Results)]


def asked(works: Peer) -> list[NeedResults]:
    return [message for message in works.heard() if isinstance(message, NeedResults)]


def test_results_wait_at_their_cluster_until_the_client_reads_on(opened: ExitStack):
    config = CoreConfig(recovery_s=0.0, recovery_max_s=0.0, window_bytes=WINDOW)
    scheduler = Scheduler(opened, SchedulerCore(config, EPOCH), WINDOW)
    ann, works = scheduler.dial(ANN), scheduler.dial(WORKS, "worker")
    works.say(ClusterReady("works", "host", 1, 8, 8))
    ann.say((DefineFunction(F, 4), (b"code",)), OpenBatch(BATCH, F, BatchOptions()), (AppendTasks(BATCH, 0, 8), CALLS))
    scheduler.turn()
    ann.heard()
    ann.say(Heartbeat())
    scheduler.turn()
    finish(works, *range(8))
    scheduler.turn()
    assert scheduler.links.backlog_bytes(ANN) == WINDOW
    assert had(ann) == [0, 1, 2, 3]
    works.heard()
    ann.say(Heartbeat())
    scheduler.turn()
    assert asked(works) == [NeedResults(RUN, (Range(4, 5),)), NeedResults(RUN, (Range(5, 6),))]
    finish(works, 4, 5)
    scheduler.turn()
    while scheduler.turn():
        pass
    assert had(ann) == [4, 5]
    assert asked(works) == [NeedResults(RUN, (Range(6, 7),)), NeedResults(RUN, (Range(7, 8),))]
