"""While as many tasks of a client wait as may, it is told to keep its own; what nobody could take does not count."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import Command, Event, PeerLost, Received, Send
from scaler.ids import BatchId, TaskId, function_id
from scaler.protocol import BatchOptions, DefineFunction, QueueFull
from scaler.protocol.columns import VALUE
from tests.unit.core.children import NESTED, C, through
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    A,
    B,
    Checked,
    X,
    Y,
    appends,
    appends_column,
    cancels,
    client,
    cluster,
    cut_off,
    defines,
    finishes,
    large,
    maps,
    opens,
    outcomes,
    run_id,
)

LIMITED = CoreConfig(max_queued_tasks=10, recovery_s=0.0, recovery_max_s=0.0)
GPU = BatchOptions(resources=(("gpu", 1.0),))


def full(count: int) -> QueueFull:
    text = f"{count:,} tasks of this client wait at the scheduler, where 10 may (--max-queued-tasks)"
    return QueueFull(full=True, why=text)


def told(commands: list[Command]) -> list[Command]:
    return [one for one in commands if isinstance(one, Send) and isinstance(one.message, QueueFull)]


def made(slots: int = 0) -> Checked:
    core = Checked(LIMITED)
    core.handle([client(ALICE), client(BOB)])
    if slots:
        core.handle(cluster(X, slots))
    return core


def test_a_client_is_told_when_it_has_enough_there_and_when_half_of_it_is_gone():
    assert told(made().handle(maps(A, 9))) == []
    core = made()
    assert told(core.handle(maps(A, 10))) == [Send(ALICE, full(10))]
    assert told(core.handle(maps(A2, 10))) == []
    assert told(core.handle([cancels(A, (0, 10)), cancels(A2, (0, 4))])) == []
    assert told(core.handle([cancels(A2, (4, 5))])) == [Send(ALICE, QueueFull(full=False))]


def test_others_are_not_told_though_no_cluster_could_take_what_is_there():
    core = made(slots=1)
    core.handle(cluster(Y, slots=1, resources=(("gpu", 1.0),)))
    assert told(core.handle(maps(A, 1000, options=GPU))) == [Send(ALICE, full(999))]
    assert told(core.handle(maps(B, 9))) == []


def test_a_client_that_comes_anew_keeps_nothing_until_it_is_told():
    core = made()
    core.handle(maps(A, 10))
    core.handle([PeerLost(ALICE, "cut")])
    assert told(core.handle([client(ALICE), *maps(A, 10)])) == [Send(ALICE, full(10))]


def test_without_a_limit_nobody_is_told_anything():
    core = Checked()
    core.handle([client(ALICE)])
    assert told(core.handle(maps(A, 100_000))) == []


def test_tasks_that_nobody_could_take_do_not_count_while_there_are_workers():
    core = made(slots=1)
    assert told(core.handle(maps(A, 1000, options=GPU))) == []
    assert told(core.handle([PeerLost(X, "cut")])) == [Send(ALICE, full(1000))]
    assert told(core.handle(cluster(X))) == [Send(ALICE, QueueFull(full=False))]


def test_what_they_could_take_again_counts_again():
    core = made(slots=1)
    core.handle(maps(A, 20, options=GPU))
    assert told(core.handle(cluster(Y, slots=1, resources=(("gpu", 1.0),)))) == [Send(ALICE, full(19))]


def test_what_tasks_submit_holds_up_nobody():
    core = made(slots=1)
    core.handle(maps(A, 1))
    assert told(core.handle(through(maps(C, 1000, NESTED)))) == []


# ---- memory

MEGABYTE = CoreConfig(memory_limit_bytes=1_000_000, recovery_s=0.0, recovery_max_s=0.0)


def why(own: str, total: str) -> QueueFull:
    text = f"the scheduler has {own} of this client, and {total} in all, where 1 MB may be (--memory-limit)"
    return QueueFull(full=True, why=text)


def sends(batch: BatchId, size: int, count: int = 1) -> list[Event]:
    """So many calls of so many bytes, one by one."""
    return [defines(peer=batch.owner), opens(batch), *(appends_column(batch, large(n, size)) for n in range(count))]


def crowded() -> Checked:
    """Alice has all of it but what Bob has, and has been told."""
    core = Checked(MEGABYTE)
    core.handle([client(ALICE), client(BOB), *cluster(X, slots=1)])
    assert told(core.handle(sends(B, 100_000, 4))) == []
    assert told(core.handle(sends(A, 100_000, 5))) == []
    assert told(core.handle([appends_column(A, large(5, 100_000))])) == [Send(ALICE, why("601 kB", "1 MB"))]
    return core


def test_while_too_much_is_here_the_client_with_the_most_keeps_its_tasks():
    core = crowded()
    assert told(core.handle([appends_column(B, large(4, 50_000))])) == []
    assert told(core.handle([appends_column(A, large(6, 100_000))])) == []
    assert told(core.handle([appends_column(B, large(5, 100_000))])) == [Send(BOB, why("551 kB", "1.25 MB"))]


def test_it_is_told_again_when_half_of_its_part_is_gone():
    core = crowded()
    assert told(core.handle([cancels(A, (0, 3))])) == []
    assert told(core.handle([cancels(A, (3, 4))])) == [Send(ALICE, QueueFull(full=False))]


def test_it_is_told_again_when_half_of_all_is_gone():
    core = crowded()
    assert told(core.handle([cancels(B, (1, 4))])) == []
    assert told(core.handle([cancels(A, (0, 2))])) == []
    assert told(core.handle([cancels(A, (2, 3))])) == [Send(ALICE, QueueFull(full=False))]


def test_functions_inputs_and_batches_count_too():
    core = Checked(MEGABYTE)
    core.handle([client(ALICE), *cluster(X, slots=1)])
    code = (bytes(300_000),)
    core.handle(
        [Received(ALICE, DefineFunction(function_id(code), 300_000), code), opens(A, function=function_id(code))]
    )
    core.handle([opens(A2), appends(A2, 0, 1), defines()])
    core.handle([opens(A3), appends(A3, 0, 2, {1: (TaskId(A2, 0),)})])
    value = outcomes(0, [(VALUE, bytes(600_000))])
    assert told(core.handle([finishes(X, run_id(1), value)])) == []
    many = [opens(BatchId(ALICE, 10 + n)) for n in range(200)]
    (only,) = told(core.handle(many))
    assert isinstance(only, Send)
    assert only.peer == ALICE


def test_who_keeps_tasks_for_one_limit_is_told_of_the_other_when_that_holds_no_more():
    core = Checked(CoreConfig(memory_limit_bytes=1_000_000, max_queued_tasks=10))
    core.handle([client(ALICE)])
    first, *_ = told(core.handle(sends(A, 100_000, 12)))
    assert first == Send(ALICE, full(12))
    assert told(core.handle([cancels(A, (0, 7))])) == [Send(ALICE, why("1.2 MB", "1.2 MB"))]
    assert told(core.handle([cancels(A, (7, 8))])) == [Send(ALICE, QueueFull(full=False))]


def test_a_client_may_not_open_batches_without_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scaler.core.requests.MOST_BATCHES", 10)
    core = Checked()
    core.handle([client(ALICE)])
    assert cut_off(core.handle([opens(BatchId(ALICE, n)) for n in range(10)])) == []
    assert cut_off(core.handle([opens(BatchId(ALICE, 10))])) == [ALICE]
