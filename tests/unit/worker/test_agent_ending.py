"""How a cluster ends: everything is handed back, running tasks have their grace, and it says goodbye."""

import pytest

from scaler.ids import ObjectId, TicketId, WorkerId
from scaler.protocol import (
    Cause,
    Delivered,
    Drain,
    FreeObjects,
    Goodbye,
    NeedResults,
    ObjectChunk,
    ObjectLocated,
    ObjectsLost,
    Retract,
    Returned,
    ReturnReason,
    ToCluster,
    Watched,
)
from scaler.protocol.connection import LONGEST_TEXT
from scaler.worker.agent_events import (
    Command,
    End,
    KillWorker,
    Limit,
    LinkDown,
    LinkUp,
    Look,
    RetireWorker,
    Say,
    Slept,
    StartFailed,
    StartWorker,
    StopAsked,
    TakeBack,
    TookBack,
    WorkerStarted,
)
from tests.unit.worker.examples import (
    EPOCH,
    OWNER,
    Cluster,
    defines,
    ended,
    failed,
    give,
    harvested,
    holds,
    offer,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
    span_result,
)

W0, W1 = WorkerId(0), WorkerId(1)
DRAINED = "the scheduler drained it"


def returned(*found: tuple[int, int], n: int = 1, reason: ReturnReason = ReturnReason.NOT_BEGUN) -> Say:
    return Say(Returned(run_id(n), ranges(*found), reason))


def delivered(*found: tuple[int, int], n: int = 1) -> Delivered:
    return Delivered(((run_id(n), ranges(*found)),))


def parting(reason: str, exit_code: int = 0) -> list[Command]:
    return [Say(Goodbye(reason)), End(exit_code, reason)]


def test_a_cluster_with_nothing_to_do_retires_its_workers_and_ends():
    cluster = ready(2)
    assert cluster.hear(Drain(30.0), at=1.0) == [RetireWorker(W0), RetireWorker(W1), offer(0, 0)]
    assert cluster.tell(ended(0, 0), at=1.01) == []
    assert cluster.tell(ended(1, 0), at=1.02) == parting(DRAINED)
    assert cluster.tell(at=2.0) == []
    assert cluster.deadline() is None


def test_a_long_reason_is_cut_to_what_a_message_holds():
    cluster = ready()
    cluster.tell(StopAsked(5.0, "n" * (LONGEST_TEXT + 1)))
    assert cluster.tell(ended(0, 0)) == parting("n" * LONGEST_TEXT)


def test_what_has_not_begun_is_handed_back_at_once_and_what_runs_may_finish():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 9))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=0.05)
    assert cluster.hear(Drain(5.0)) == [
        TakeBack(W0),
        TakeBack(W1),
        Look(W0),
        Look(W1),
        offer(0, 0),
        returned((2, 9)),
    ]
    looked = harvested(0, slots=(runs(1, 0, 0.0),)), harvested(1)
    assert cluster.tell(TookBack(W0, ()), TookBack(W1, (TicketId(2),)), *looked) == [
        RetireWorker(W1),
        returned((1, 2)),
    ]
    assert cluster.tell(ended(1, 0), at=0.06) == []
    done = harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))
    assert cluster.tell(done, at=4.0) == [RetireWorker(W0), span_result(0, 1)]
    assert cluster.tell(ended(0, 0), at=4.01) == []
    assert cluster.hear(delivered((0, 1)), at=4.1) == parting(DRAINED)


def test_results_may_wait_for_room_on_the_way_to_their_client_while_the_grace_lasts():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.1)
    cluster.hear(Drain(5.0), at=1.0)
    assert cluster.tell(ended(0, 0), at=1.1) == []
    assert cluster.deadline() == 6.0
    assert cluster.hear(NeedResults(run_id(), ranges((0, 1))), at=4.0) == [span_result(0, 1)]
    assert cluster.tell(at=5.9) == []
    assert cluster.tell(at=6.0) == parting(DRAINED)


def test_without_grace_no_result_is_waited_for():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)), at=0.1)
    cluster.hear(Drain(0.0), at=1.0)
    assert cluster.tell(ended(0, 0), at=1.1) == parting(DRAINED)


def test_a_slot_leaves_its_ticket_behind_the_task_it_runs():
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 9))  # tickets of 5, 2, 1 and 1
    assert cluster.hear(Drain(5.0)) == [TakeBack(W0), Look(W0), offer(0, 0)]
    unread = TookBack(W0, (TicketId(18), TicketId(19), TicketId(20)))
    assert cluster.tell(unread, harvested(0, piece(17, 0, 1, 100), slots=(runs(17, 1, 0.0001),))) == [
        Limit(W0, 0, TicketId(17), 2),
        span_result(0, 1, run_us=100),
        returned((5, 9)),
    ]
    assert cluster.deadline() == pytest.approx(0.002)
    assert cluster.tell(at=0.002) == [Look(W0)]
    assert cluster.tell(harvested(0, slots=(runs(17, 1, 0.0001),))) == [returned((2, 5))]


def test_what_still_runs_when_the_grace_is_over_is_killed_and_handed_back_uncharged():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(StopAsked(2.0, "SIGTERM"), at=1.0)
    cluster.tell(TookBack(W0, ()), harvested(0, slots=(runs(1, 0, 0.0),)), at=1.0)
    assert [command for command in cluster.tell(at=2.9) if not isinstance(command, Say)] == []
    assert cluster.deadline() == 3.0
    assert cluster.tell(at=3.0) == [KillWorker(W0)]
    assert cluster.deadline() is None
    assert cluster.tell(at=3.001) == []
    assert cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0),)), at=3.01) == [
        returned((0, 1), reason=ReturnReason.EXPIRED),
        *parting("SIGTERM"),
    ]


def test_a_second_signal_means_now():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(StopAsked(60.0, "SIGTERM"), at=0.01)
    cluster.tell(TookBack(W0, ()), harvested(0, slots=(runs(1, 0, 0.0),)))
    assert cluster.tell(StopAsked(60.0, "SIGINT"), at=0.02) == [KillWorker(W0)]
    assert cluster.tell(ended(0, -9, slots=(runs(1, 0, 0.0),)), at=0.03)[-1] == End(0, "SIGTERM")


def test_without_a_scheduler_nobody_waits_for_results():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(LinkDown())
    assert KillWorker(W0) in cluster.tell(StopAsked(60.0, "SIGTERM"), at=0.01)


def test_what_was_asked_back_before_is_not_asked_back_again():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(Retract(run_id(), 0, 1))
    cluster.tell(TookBack(W0, ()))
    assert cluster.hear(Drain(5.0)) == [Look(W0), offer(0, 0)]


def test_what_comes_afterwards_is_handed_back():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(Drain(5.0))
    assert cluster.hear(run_span(2, 3, 7)) == [returned((3, 7), n=2)]


def test_a_task_that_dies_in_the_grace_is_blamed():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(Drain(5.0))
    text = "host (c), worker 0 was killed by signal 11 (SIGSEGV) while it ran this task"
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=1.0)
    assert commands[-1] == failed(0, Cause.DIED, text, exit_code=-11)
    assert cluster.hear(delivered((0, 1)), at=1.1) == parting(DRAINED)
    assert not any(isinstance(command, StartWorker) for command in commands)


def test_workers_that_are_starting_are_killed_before_and_after_they_come_up():
    cluster = Cluster(2)
    cluster.tell()
    assert cluster.tell(StopAsked(5.0, "SIGTERM")) == [KillWorker(W0), KillWorker(W1)]
    assert cluster.tell(WorkerStarted(W0, 77)) == [KillWorker(W0)]
    assert cluster.tell(ended(0, -9)) == []
    assert cluster.tell(StartFailed(W1, "gone")) == parting("SIGTERM")


def test_a_worker_that_does_not_retire_is_killed():
    cluster = ready(2)
    cluster.hear(Drain(5.0), at=1.0)
    assert cluster.deadline() == 1.5
    cluster.tell(ended(0, 0), at=1.2)
    assert cluster.tell(at=1.4) == []
    assert cluster.tell(at=1.5) == [KillWorker(W1)]
    assert cluster.tell(ended(1, -9), at=1.51) == parting(DRAINED)


def test_the_grace_of_one_worker_goes_on_while_another_retires():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(Drain(0.3), at=1.0)
    assert cluster.deadline() == 1.3
    cluster.tell(at=1.3)
    assert cluster.deadline() == 1.5


# ---- walltime


def test_nothing_is_begun_in_the_last_part_of_the_walltime():
    cluster = Cluster(ends_at=100.0)
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[1:] == [offer(0, 0, ends_in_s=100.0), holds()]
    assert cluster.tell(WorkerStarted(W0, 100), at=10.0)[1:] == [offer(1, 1, ends_in_s=90.0)]
    assert cluster.deadline() == 95.0
    assert cluster.tell(at=95.0) == [RetireWorker(W0), offer(0, 0, ends_in_s=5.0)]
    assert cluster.tell(ended(0, 0), at=95.1) == parting("the walltime is over")


def test_what_runs_at_the_end_of_the_walltime_may_finish_until_a_second_before():
    cluster = ready(ends_at=100.0)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0),)), at=90.0)
    cluster.tell(at=95.0)
    cluster.tell(TookBack(W0, ()), harvested(0, slots=(runs(1, 0, 0.0),)))
    assert [command for command in cluster.tell(at=98.9) if not isinstance(command, Say)] == []
    assert cluster.tell(at=99.0)[0] == KillWorker(W0)


def test_tasks_that_would_not_end_in_time_are_handed_back():
    cluster = seasoned(run_us=10_000_000, ends_at=100.0)
    assert cluster.hear(run_span(1, 0, 5), at=84.0) == [give(0, 17, 0, 1)]
    done = harvested(0, piece(17, 0, 1, 10_000_000), slots=(rests(17, 1),))
    assert cluster.tell(done, at=94.0) == [span_result(0, 1, run_us=10_000_000), returned((1, 5))]


def test_functions_nobody_has_seen_are_tried_until_the_end():
    cluster = ready(ends_at=100.0)
    assert cluster.hear(run_span(1, 0, 5), at=94.9) == [defines(0), give(0, 1, 0, 1)]


@pytest.mark.parametrize(("walltime_s", "leaves_at"), [(10.0, 8.0), (1000.0, 950.0), (86_400.0, 86_340.0)])
def test_what_is_kept_of_a_walltime_goes_by_its_length(walltime_s: float, leaves_at: float):
    cluster = ready(ends_at=walltime_s)
    assert cluster.deadline() == leaves_at


# ---- without a scheduler


def test_a_cluster_without_a_scheduler_ends_itself():
    cluster = ready(death_timeout_s=30.0)
    assert cluster.deadline() is None
    assert cluster.tell(LinkDown(), at=1.0) == []
    assert cluster.tell(LinkDown(), at=2.0) == []
    assert cluster.deadline() == 31.0
    assert cluster.tell(at=31.0)[0] == RetireWorker(W0)
    assert cluster.tell(ended(0, 0), at=31.1) == parting("no scheduler for 30 s", exit_code=1)


def test_a_cluster_that_never_met_a_scheduler_ends_itself_too():
    cluster = Cluster(death_timeout_s=30.0)
    cluster.tell(at=5.0)
    assert cluster.deadline() == 35.0
    assert cluster.tell(at=35.0) == [KillWorker(W0)]


def test_a_scheduler_that_comes_back_in_time_stops_the_count():
    cluster = ready(death_timeout_s=30.0)
    cluster.tell(LinkDown(), at=1.0)
    cluster.tell(LinkUp(EPOCH, resumed=True), at=30.0)
    assert cluster.deadline() is None
    assert cluster.tell(at=40.0) == []


def test_nothing_is_late_because_the_process_stood_still():
    cluster = ready(death_timeout_s=30.0)
    cluster.tell(LinkDown(), at=1.0)
    cluster.tell(Slept(100.0), at=102.0)
    assert cluster.deadline() == 131.0
    cluster.tell(LinkUp(EPOCH, resumed=True))
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(StopAsked(5.0, "SIGTERM"))
    cluster.tell(Slept(10.0), at=110.0)
    assert cluster.deadline() == 117.0


# ---- what is no business of the agent


@pytest.mark.parametrize(
    "message",
    [
        Watched(watched=False),
        Goodbye(),
        ObjectLocated(ObjectId(OWNER, 1), 5, ()),
        ObjectChunk(ObjectId(OWNER, 1), 0, 5),
        FreeObjects(()),
        ObjectsLost(()),
    ],
)
def test_other_messages_change_nothing(message: ToCluster):
    assert ready().hear(message) == []
