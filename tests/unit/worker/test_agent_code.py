"""Code that functions come with: asked for, laid where workers find it, and never two contents in one worker."""

import pytest

from scaler.ids import FunctionId, WorkerId
from scaler.protocol import BatchOptions, CancelRun, DefineFunction, NeedFunction
from scaler.protocol.code import OWN_CODE, SHIPPED, WHOSE, Code, with_code
from scaler.worker.agent_events import (
    Command,
    Define,
    DropCode,
    Give,
    KeepCode,
    LinkUp,
    Received,
    RetireWorker,
    Say,
    StartWorker,
    WorkerStarted,
)
from scaler.worker.agent_fitting import PATIENCE_S
from scaler.worker.agent_functions import ASK_AGAIN_S
from tests.unit.worker.examples import (
    EPOCH,
    IDLE,
    Cluster,
    F,
    G,
    ended,
    harvested,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
)

W0, W1, W2, W3 = (WorkerId(number) for number in range(4))
H, J = FunctionId(b"h" * 16), FunctionId(b"i" * 16)
OLD, NEW, OTHER = FunctionId(b"o" * 16), FunctionId(b"n" * 16), FunctionId(b"x" * 16)
HAS_OLD: Code = ((WHOSE, SHIPPED), ("mine", OLD))
HAS_NEW: Code = ((WHOSE, SHIPPED), ("mine", NEW))
HAS_OTHER: Code = ((WHOSE, SHIPPED), ("yours", OTHER))
BYTES = (b"archive",)
LARGE_BYTES = 1000


def comes(function: FunctionId, code: Code) -> Received:
    return Received(DefineFunction(function, 0), (with_code(code, b"pickled"),))


def archived(archive: FunctionId) -> Received:
    return Received(DefineFunction(archive, len(BYTES[0])), BYTES)


def placed(commands: list[Command]) -> list[tuple[int, int]]:
    """The worker and run of each ticket."""
    return [(one.worker, one.run.n) for one in commands if isinstance(one, Give)]


def lives(commands: list[Command]) -> list[Command]:
    """Who starts and who makes room."""
    return [one for one in commands if isinstance(one, StartWorker | RetireWorker)]


def done(worker: int, ticket: int, lo: int = 0) -> object:
    return harvested(worker, piece(ticket, lo, lo + 1), slots=(rests(ticket, lo + 1),))


# ---- what is asked for


def test_code_that_is_not_here_is_asked_for_in_the_name_of_its_function_and_laid_down_before_that_is_given():
    cluster = ready()
    assert cluster.hear(run_span(1, 0, 1, function=G)) == [Say(NeedFunction(G))]
    assert cluster.hear(comes(G, HAS_OLD)) == [Say(NeedFunction(OLD, G))]
    assert cluster.hear(run_span(2, 0, 1, function=G)) == []
    commands = cluster.hear(archived(OLD))
    assert commands[0] == KeepCode(OLD, BYTES)
    assert isinstance(commands[1], Define)
    assert placed(commands) == [(0, 1)]


def test_code_is_asked_for_once_however_many_functions_come_with_it():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=H))
    assert cluster.hear(comes(G, HAS_OLD), comes(H, HAS_OLD)) == [Say(NeedFunction(OLD, G))]
    assert placed(cluster.hear(archived(OLD))) == [(0, 1)]
    assert placed(cluster.tell(done(0, 1), at=0.1)) == [(0, 2)]
    cluster.hear(run_span(3, 0, 1, function=J))
    assert not [one for one in cluster.hear(comes(J, HAS_OLD)) if isinstance(one, Say)]
    assert cluster.hear(archived(OLD)) == []


def test_code_that_a_cancelled_run_asked_for_is_for_the_others():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=H))
    cluster.hear(comes(G, HAS_OLD), comes(H, HAS_OLD))
    cluster.hear(CancelRun(run_id(1), ranges((0, 1))))
    assert placed(cluster.hear(archived(OLD))) == [(0, 2)]


def test_what_does_not_come_is_asked_for_again():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=H), comes(H, HAS_OLD), at=1.0)
    assert cluster.deadline() == 1.0 + ASK_AGAIN_S
    asked = [Say(NeedFunction(G)), Say(NeedFunction(OLD, H))]
    assert cluster.tell(at=1.0 + ASK_AGAIN_S) == asked
    assert [one for one in cluster.tell(LinkUp(EPOCH, resumed=False)) if one in asked] == asked
    cluster.hear(CancelRun(run_id(1), ranges((0, 1))), archived(OLD))
    assert cluster.deadline() is None


def test_a_client_that_sends_no_code_needs_none_and_has_workers_that_have_none_of_others():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1, function=G), comes(G, HAS_OLD), archived(OLD))
    cluster.tell(done(0, 1), at=0.1)
    assert placed(cluster.hear(run_span(2, 0, 1, function=H), comes(H, OWN_CODE))) == [(1, 2)]
    commands = cluster.hear(run_span(3, 0, 1, function=H))
    assert lives(commands) == [RetireWorker(W0), StartWorker(W2)]
    assert placed(commands) == [(2, 3)]


def large(archive: FunctionId) -> Received:
    """Code of which two are kept, with what is unpacked of them, and three are too much."""
    return Received(DefineFunction(archive, LARGE_BYTES), (bytes(LARGE_BYTES),))


@pytest.fixture
def cluster() -> Cluster:
    """One worker, which has imported old code, has ended, and made room for one that has imported new."""
    made = ready()
    made.agent._functions._kept_bytes = 5 * LARGE_BYTES
    made.hear(run_span(1, 0, 1, function=G), comes(G, HAS_OLD), large(OLD))
    made.tell(done(0, 1))
    assert lives(made.hear(run_span(2, 0, 1, function=H), comes(H, HAS_NEW), large(NEW))) != []
    return made


def codes(commands: list[Command]) -> list[Command]:
    return [one for one in commands if isinstance(one, KeepCode | DropCode)]


def test_code_that_no_living_worker_needs_goes_when_there_is_too_much_though_its_function_is_kept(cluster: Cluster):
    cluster.tell(ended(0, 0))
    commands = cluster.hear(run_span(3, 0, 1, function=J), comes(J, HAS_OTHER), large(OTHER))
    assert codes(commands) == [KeepCode(OTHER, (bytes(LARGE_BYTES),)), DropCode(OLD)]
    # and is asked for again where it is wanted
    assert Say(NeedFunction(OLD, G)) in cluster.hear(run_span(4, 0, 1, function=G))


def test_code_is_kept_as_long_as_a_worker_may_import_it(cluster: Cluster):
    commands = cluster.hear(run_span(3, 0, 1, function=J), comes(J, HAS_OTHER), large(OTHER))
    assert codes(commands) == [KeepCode(OTHER, (bytes(LARGE_BYTES),))]
    assert codes(cluster.tell(ended(0, 0))) == [DropCode(OLD)]
    assert codes(cluster.tell(ended(1, -9))) == []


def test_code_of_runs_that_are_not_over_is_kept(cluster: Cluster):
    cluster.hear(run_span(3, 0, 1, function=G))
    assert codes(cluster.tell(ended(0, 0))) == []
    commands = cluster.hear(run_span(4, 0, 1, function=J), comes(J, HAS_OTHER), large(OTHER))
    assert codes(commands) == [KeepCode(OTHER, (bytes(LARGE_BYTES),))]


# ---- who runs it


def with_code_there(workers: int = 1, threads: int = 1) -> Cluster:
    """A cluster that has G, H and J, which come with the old and the new content of a module and with another module.

    No worker has been given any of them.
    """
    cluster = Cluster(workers, threads)
    cluster.tell(LinkUp(EPOCH, resumed=False))
    cluster.tell()
    n = 900
    for function, code in ((G, HAS_OLD), (H, HAS_NEW), (J, HAS_OTHER)):
        n += 1
        cluster.hear(run_span(n, 0, 1, function=function), comes(function, code), archived(code[1][1]))
        cluster.hear(CancelRun(run_id(n), ranges((0, 1))))
    cluster.tell(*[WorkerStarted(WorkerId(number), 100 + number) for number in range(workers)])
    return cluster


def test_a_worker_runs_functions_whose_code_goes_together():
    cluster = with_code_there()
    assert placed(cluster.hear(run_span(1, 0, 1, function=G))) == [(0, 1)]
    cluster.tell(done(0, 1), at=0.1)
    commands = cluster.hear(run_span(2, 0, 1, function=J))
    assert (lives(commands), placed(commands)) == ([], [(0, 2)])


def test_a_worker_with_another_content_makes_room_for_one_that_has_the_task_at_once():
    cluster = with_code_there()
    cluster.hear(run_span(1, 0, 1, function=G))
    cluster.tell(done(0, 1), at=0.1)
    commands = cluster.hear(run_span(2, 0, 1, function=H))
    assert lives(commands) == [RetireWorker(W0), StartWorker(W1)]
    assert placed(commands) == [(1, 2)]
    cluster.tell(ended(0, 0), WorkerStarted(W1, 101))
    commands = cluster.tell(done(1, 2), at=0.2)
    assert lives(commands) == []


def test_each_content_has_its_worker_where_there_are_several():
    cluster = with_code_there(2)
    assert placed(cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=H))) == [(0, 1), (1, 2)]
    cluster.tell(done(0, 1), done(1, 2), at=0.1)
    commands = cluster.hear(run_span(3, 0, 1, function=H), run_span(4, 0, 1, function=G))
    assert (lives(commands), placed(commands)) == ([], [(1, 3), (0, 4)])


def test_a_worker_is_not_replaced_while_others_have_use_for_it_but_not_for_ever():
    cluster = with_code_there()
    cluster.hear(run_span(1, 0, 1, function=G))
    cluster.hear(run_span(2, 0, 1, function=H), run_span(3, 0, 9, function=G, owner=6))
    commands = cluster.tell(done(0, 1), at=1.0)
    assert placed(commands) == [(0, 3)]
    assert cluster.deadline() == 1.0 + PATIENCE_S
    assert placed(cluster.tell(done(0, 2), at=1.1)) == [(0, 3)]
    cluster.tell(at=1.0 + PATIENCE_S)
    assert cluster.deadline() is None
    commands = cluster.tell(done(0, 3, 1), at=1.6)
    assert lives(commands) == [RetireWorker(W0), StartWorker(W1)]
    assert placed(commands) == [(1, 2)]


def test_a_worker_kept_for_others_is_given_back_when_they_are_cancelled():
    cluster = with_code_there()
    cluster.hear(run_span(1, 0, 1, function=G))
    cluster.hear(run_span(2, 0, 1, function=H), run_span(3, 0, 9, function=G, owner=6))
    cluster.tell(done(0, 1), at=1.0)
    cluster.tell(at=1.0 + PATIENCE_S)
    cluster.hear(CancelRun(run_id(2), ranges((0, 1))))
    assert placed(cluster.tell(done(0, 2), at=1.6)) == [(0, 3)]


def test_nothing_waits_behind_a_worker_that_may_not_run_it():
    cluster = with_code_there()
    cluster.hear(run_span(1, 0, 1, function=G))
    assert placed(cluster.hear(run_span(2, 0, 5, function=H))) == []


def test_suspects_run_alone_in_a_worker_with_their_code():
    cluster = with_code_there(1, threads=2)
    assert placed(cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=J))) == [(0, 1), (0, 2)]
    cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 0, 0.0))), at=5.0)
    assert placed(cluster.tell(WorkerStarted(W1, 101))) == [(1, 1)]
    commands = cluster.tell(harvested(1, piece(3, 0, 1), slots=(rests(3, 1), IDLE)), at=5.1)
    assert placed(commands) == [(1, 2)]


def test_functions_without_code_run_anywhere_and_at_full_speed():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 1, function=G), comes(G, HAS_OLD), archived(OLD))
    cluster.tell(harvested(0, piece(17, 0, 1, 100), slots=(rests(17, 1),)), at=0.1)
    commands = cluster.hear(run_span(2, 0, 1000))
    assert len(placed(commands)) == 21
    assert F in cluster.agent._pool.workers[W0].functions


# ---- calls on every worker


def everywhere(n: int, function: FunctionId) -> Received:
    return run_span(n, 0, 1, function=function, options=BatchOptions(everywhere=True))


def test_a_call_on_every_worker_is_made_by_a_new_one_where_it_comes_with_another_content():
    cluster = with_code_there(2)
    cluster.hear(run_span(1, 0, 1, function=G))
    cluster.tell(done(0, 1), at=0.1)
    commands = cluster.hear(everywhere(2, H))
    assert lives(commands) == [RetireWorker(W0), StartWorker(W2)]
    assert placed(commands) == [(1, 2)]
    cluster.tell(ended(0, 0))
    assert placed(cluster.tell(WorkerStarted(W2, 102))) == [(2, 2)]


def test_a_worker_makes_room_for_such_a_call_when_it_has_nothing_left():
    cluster = with_code_there()
    cluster.hear(run_span(1, 0, 1, function=G))
    assert lives(cluster.hear(everywhere(2, H))) == []
    commands = cluster.tell(done(0, 1), at=0.1)
    assert lives(commands) == [RetireWorker(W0), StartWorker(W1)]
    assert placed(cluster.tell(WorkerStarted(W1, 101))) == [(1, 2)]


def test_calls_with_different_contents_are_made_one_after_another():
    cluster = with_code_there(1, threads=2)
    assert placed(cluster.hear(everywhere(1, G), everywhere(2, H))) == [(0, 1)]
    commands = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1), IDLE)), at=0.1)
    assert lives(commands) == [RetireWorker(W0), StartWorker(W1)]
    assert placed(cluster.tell(WorkerStarted(W1, 101))) == [(1, 2)]
