"""A call that every worker makes: once each, before all else there, and one answer for all of them."""

import pytest
from msgspec.structs import replace

from scaler.ids import FunctionId, TicketId, WorkerId
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    Cause,
    Forget,
    NeedFunction,
    Retract,
    RetractAnswered,
    Returned,
    ReturnReason,
    SpanResult,
)
from scaler.protocol.columns import RAISED, ResultColumn
from scaler.worker.agent_events import (
    Give,
    Interrupt,
    KillWorker,
    LinkDown,
    LinkUp,
    Look,
    Note,
    Received,
    Say,
    StartFailed,
    StartWorker,
    StopAsked,
    TakeBack,
    TookBack,
    WorkerStarted,
)
from tests.unit.worker.examples import (
    EPOCH,
    Cluster,
    F,
    G,
    arguments,
    define,
    defines,
    ended,
    failed,
    give,
    harvested,
    holds,
    offer,
    piece,
    raised,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    span_result,
)

W0, W1, W2 = (WorkerId(n) for n in range(3))
ALL = BatchOptions(everywhere=True)


def call(n: int = 1, lo: int = 0, function: FunctionId = F) -> Received:
    return run_span(n, lo, lo + 1, function=function, options=ALL)


def gives(worker: int, ticket: int, index: int, lo: int = 0, function: FunctionId = F) -> Give:
    """Call `lo` of a run under an index of this worker's own."""
    made = give(worker, ticket, index, index + 1, function=function, options=ALL)
    return replace(made, column=replace(arguments(lo, lo + 1), lo=index))


def answer(column: ResultColumn, worker: int = 0, n: int = 1) -> Say:
    message = SpanResult(run_id(n), column.lo, column.hi, column.base, f"host (c), worker {worker}")
    return Say(message, column.frames())


def returned(n: int = 1, lo: int = 0) -> Say:
    return Say(Returned(run_id(n), ranges((lo, lo + 1)), ReturnReason.NOT_BEGUN))


def called(workers: int = 2, lo: int = 0) -> Cluster:
    """A cluster whose workers all have a call."""
    cluster = ready(workers)
    commands = cluster.hear(call(lo=lo))
    expected = [part for n in range(workers) for part in (defines(n), gives(n, n + 1, lo + n, lo))]
    assert commands == expected
    return cluster


def test_every_worker_makes_it_once_and_the_first_value_is_the_answer():
    cluster = called(workers=3, lo=7)
    assert cluster.tell(harvested(1, piece(2, 8, 9), slots=(rests(2, 9),))) == []
    assert cluster.tell(harvested(0, piece(1, 7, 8), slots=(rests(1, 8),))) == []
    [said] = cluster.tell(harvested(2, piece(3, 9, 10), slots=(rests(3, 10),)))
    assert isinstance(said, Say)
    message = said.message
    assert isinstance(message, SpanResult)
    assert (message.run, message.lo, message.hi, message.place) == (run_id(), 7, 8, "host (c), worker 1")
    assert said.frames[-1] == piece(2, 8, 9).column.data[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_failure_of_one_is_the_answer_for_all(order: tuple[int, int]):
    cluster = called()
    parts = [
        harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)),
        harvested(1, piece(2, 1, 2, status=RAISED), slots=(rests(2, 2),)),
    ]
    commands = [command for number in order for command in cluster.tell(parts[number])]
    [said] = commands
    assert isinstance(said, Say)
    assert isinstance(said.message, SpanResult)
    assert (said.message.lo, said.message.place, said.frames[0]) == (0, "host (c), worker 1", bytes([RAISED]))


def test_it_goes_behind_what_runs_and_before_what_waits():
    cluster = ready(2)
    cluster.hear(run_span(2, 0, 4))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, slots=(runs(2, 1, 0.0),)))
    assert cluster.hear(call()) == []
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.005) == [
        gives(0, 3, 0),
        span_result(0, 1, n=2),
    ]
    assert cluster.tell(harvested(0, piece(3, 0, 1), slots=(rests(3, 1),)), at=0.006) == [give(0, 4, 2, 3, n=2)]
    commands = cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)), at=0.007)
    assert commands[0] == gives(1, 5, 1)


def test_it_waits_for_its_function_and_for_workers_that_start():
    cluster = Cluster(2)
    cluster.tell(LinkUp(EPOCH, resumed=False))
    cluster.tell(WorkerStarted(W0, 100))
    assert cluster.hear(call(function=G)) == [Say(NeedFunction(G))]
    assert cluster.hear(define(G)) == [defines(0, G), gives(0, 1, 0, function=G)]
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    commands = cluster.tell(WorkerStarted(W1, 101))
    told = Note("info", "Worker[1] started", (("pid", 101),))
    assert commands == [told, defines(1, G), gives(1, 2, 1, function=G), offer(2, 2)]
    [said] = cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)))
    assert said == span_result(0, 1)


def test_a_worker_that_comes_later_does_not_make_it():
    cluster = called()
    assert StartWorker(W2) in cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0),)))
    cluster.tell(WorkerStarted(W2, 102))
    done = cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)))
    text = "host (c), worker 0 was killed by signal 9 (SIGKILL) while it ran this task"
    assert done == [failed(0, Cause.DIED, text, exit_code=-9)]


def test_workers_that_end_before_they_have_begun_are_not_waited_for():
    cluster = called()
    cluster.tell(ended(0, -9, unread=(1,)))
    column = replace(piece(2, 1, 2).column, lo=0)
    assert cluster.tell(harvested(1, piece(2, 1, 2), slots=(rests(2, 2),))) == [answer(column, worker=1)]


def test_if_all_end_before_they_have_begun_it_is_returned():
    cluster = called()
    cluster.tell(ended(0, -9, unread=(1,)))
    assert returned() in cluster.tell(ended(1, -9, unread=(2,)))


def test_one_that_never_comes_up_is_not_waited_for():
    cluster = Cluster(1)
    cluster.tell(LinkUp(EPOCH, resumed=False))
    cluster.hear(define(F))
    assert cluster.hear(call()) == []
    assert returned() in cluster.tell(StartFailed(W0, "no memory"))


def test_of_several_threads_that_ran_when_their_worker_ended_none_makes_it_again():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(call())
    commands = cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0), runs(2, 0, 0.0))))
    assert returned() in commands


def test_without_workers_it_is_returned():
    cluster = Cluster(0)
    cluster.tell(LinkUp(EPOCH, resumed=False))
    cluster.hear(define(F))
    assert cluster.hear(call()) == [returned()]


def test_an_unread_one_that_was_taken_back_is_given_to_the_same_worker_again():
    cluster = ready(1, threads=2)
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(call())
    assert cluster.hear(Retract(run_id(2), 0, 1)) == [TakeBack(W0)]
    commands = cluster.tell(TookBack(W0, (TicketId(2),)))
    assert commands == [gives(0, 3, 0), Say(RetractAnswered(run_id(2), 0, 1))]


def test_several_unread_ones_that_were_taken_back_keep_their_order():
    cluster = ready(1, threads=3)
    given = cluster.hear(call(1), call(2), call(3))
    assert [(one.run.n, one.ticket) for one in given if isinstance(one, Give)] == [(1, 1), (2, 2), (3, 3)]
    cluster.hear(run_span(5, 0, 1), Retract(run_id(1), 0, 1))
    commands = cluster.tell(TookBack(W0, (TicketId(2), TicketId(3))))
    assert [(one.run.n, one.ticket) for one in commands if isinstance(one, Give)] == [(2, 4), (3, 5)]


@pytest.mark.parametrize("message", [CancelRun(run_id(1), ranges((0, 1))), Forget(run_id(1))])
def test_when_nobody_wants_it_any_more_it_ends_on_every_worker(message: CancelRun | Forget):
    cluster = called()
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, slots=(runs(2, 1, 0.0),)), at=0.05)
    assert cluster.hear(message) == [TakeBack(W0), TakeBack(W1), Look(W0), Look(W1)]
    views = [harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, slots=(runs(2, 1, 0.0),))]
    commands = cluster.tell(TookBack(W0, ()), TookBack(W1, ()), *views)
    assert [command for command in commands if isinstance(command, Interrupt)] == [
        Interrupt(W0, 0, TicketId(1), 0),
        Interrupt(W1, 0, TicketId(2), 1),
    ]
    cluster.tell(harvested(0, raised(1, 0), slots=(rests(1, 1),)), at=0.06)
    cluster.tell(at=0.06 + 0.3)
    commands = cluster.tell(harvested(1, slots=(runs(2, 1, 0.0),)))
    assert KillWorker(W1) in commands
    cluster.tell(ended(1, -9, slots=(runs(2, 1, 0.0),)))
    assert cluster.agent._runs.by_id == {}


def test_a_call_that_waits_behind_a_task_is_dropped_when_nobody_wants_it():
    cluster = ready(1)
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(call())
    assert cluster.hear(CancelRun(run_id(1), ranges((0, 1)))) == [returned()]


def test_a_new_link_ends_it_and_does_not_speak_of_it():
    cluster = called()
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1, piece(2, 1, 2), slots=(rests(2, 2),)))
    cluster.tell(LinkDown(), at=1.0)
    commands = cluster.tell(LinkUp(EPOCH, resumed=False), at=1.1)
    assert [command for command in commands if isinstance(command, Say)] == [offer(2, 2), holds()]


def test_a_cluster_that_ends_gives_back_what_it_has_not_begun():
    cluster = ready(1)
    cluster.hear(run_span(2, 0, 1))
    cluster.hear(call())
    assert returned() in cluster.tell(StopAsked(0.0, "SIGTERM"))
    assert cluster.hear(call(n=3)) == [returned(n=3)]


def test_no_more_of_them_are_made_at_once_than_there_are_slots():
    cluster = ready(1, threads=2, max_tasks_per_worker=2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(WorkerStarted(W1, 101))
    commands = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1), runs(2, 1, 0.0))), at=0.1)
    assert not [one for one in commands if isinstance(one, Give)]
    commands = cluster.hear(call(2), call(3))
    given = [(one.worker, one.run.n) for one in commands if isinstance(one, Give)]
    assert len(given) == 1
