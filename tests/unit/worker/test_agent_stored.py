"""Results that lie in the store of the cluster: a file is there as long as the entry that names it is kept."""

from itertools import accumulate
from struct import pack

import pytest
from msgspec.structs import replace

from scaler.ids import Incarnation, ObjectId, TicketId, WorkerId
from scaler.pieces import MOST_PIECES
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    Cause,
    Confirmed,
    Delivered,
    Failure,
    FetchChunks,
    Forget,
    NeedResults,
    ObjectChunk,
    ObjectsDropped,
    Returned,
    ReturnReason,
    SpanResult,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import CONTENT, FAILED, MAX_FRAME_BYTES, RAISED, REFERENCE, VALUE, ResultColumn
from scaler.protocol.references import Reference, record_of
from scaler.protocol.result_names import result_name
from scaler.worker import agent_stored
from scaler.worker.agent_ending import HAND_OVER_S
from scaler.worker.agent_events import Command, LinkUp, Piece, Say, StopAsked
from scaler.worker.agent_peer_events import AnswerPeer, PeerAsked
from scaler.worker.agent_result_events import (
    AdoptResults,
    DropLeftovers,
    DropResults,
    PieceRead,
    ReadPiece,
    ReadResult,
    ResultGone,
    ResultRead,
)
from tests.unit.worker.examples import (
    EPOCH,
    SEASON,
    TASK_US,
    Cluster,
    ended,
    give,
    harvested,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
)

CLUSTER = Incarnation(7)
SIZE = 2 * MAX_FRAME_BYTES + 5
PLACE = "host (c), worker 0"
DATA = (b"piece",)
TICKET = SEASON + 1


def name(count: int, worker: int = 0) -> ObjectId:
    return result_name(CLUSTER, WorkerId(worker), count)


def record(of: ObjectId) -> bytes:
    return record_of(Reference(of, SIZE, f"/store/{of.n}", b"t" * 16))


def column(lo: int, *results: ObjectId | bytes, status: int = VALUE) -> ResultColumn:
    """Results one after the other: what lies in the store, or bytes that are themselves."""
    data = [record(one) if isinstance(one, ObjectId) else one for one in results]
    return ResultColumn(
        lo=lo,
        count=len(data),
        base=0,
        statuses=bytes([REFERENCE if isinstance(one, ObjectId) else status for one in results]),
        run_us=pack("<I", TASK_US) * len(data),
        ends=pack(f"<{len(data)}Q", *accumulate(map(len, data))),
        costs=b"",
        data=(b"".join(data),),
    )


def laid(ticket: int, made: ResultColumn) -> list[Piece]:
    """Results as they lie in the ring, each of a ticket of its own."""
    indices = range(made.lo, made.hi)
    return [Piece(TicketId(number), made.slice(index, index + 1)) for number, index in enumerate(indices, ticket)]


def says(made: ResultColumn, n: int = 1, place: str = PLACE) -> Command:
    return Say(SpanResult(run_id(n), made.lo, made.hi, made.base, place), made.frames())


def not_right(index: int, why: str) -> ResultColumn:
    text = f"what its worker said of the result cannot be right: {why}"
    data = encode_failure(Failure(Cause.OBJECT_LOST, text, PLACE))
    return ResultColumn(index, 1, 0, bytes([FAILED]), bytes(4), pack("<Q", len(data)), b"", (data,))


def keeping(*results: ObjectId | bytes) -> Cluster:
    """These results of run 1, from index 0 on, are kept."""
    count = len(results)
    cluster = having(count)
    cluster.tell(harvested(0, *laid(TICKET, column(0, *results)), slots=(rests(TICKET + count - 1, count),)))
    return cluster


def having(count: int) -> Cluster:
    """A worker has the first tasks of run 1, each in a ticket of its own."""
    cluster = seasoned(run_us=1000)
    given = [give(0, TICKET + number, number, number + 1) for number in range(count)]
    assert cluster.hear(run_span(1, 0, count)) == given
    return cluster


def is_over(cluster: Cluster) -> bool:
    return not cluster.agent._runs.by_id and not cluster.agent._stored._by_name


def test_a_result_in_the_store_is_adopted_and_told_as_it_is():
    cluster = having(3)
    made = (name(0), b"value", name(1))
    assert cluster.tell(harvested(0, *laid(TICKET, column(0, *made)), slots=(rests(TICKET + 2, 3),))) == [
        AdoptResults((name(0), name(1))),
        says(column(0, *made)),
    ]


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (ObjectId(Incarnation(8), 0), "object 0000000000000008-0 is another's"),
        (name(1, worker=1), f"object 0000000000000007-{1 << 32 | 1} is another's"),
        (name(0), "object 0000000000000007-0 is another task's"),
    ],
)
def test_a_record_that_its_worker_cannot_have_made_is_no_result(forged: ObjectId, why: str):
    cluster = having(4)
    found = cluster.tell(
        harvested(0, *laid(TICKET, column(0, name(0), forged, name(2), forged)), slots=(rests(TICKET + 3, 4),))
    )
    kept = column(0, name(0), forged, name(2), forged)
    assert found == [
        AdoptResults((name(0), name(2))),
        says(kept.slice(0, 1)),
        says(not_right(1, why)),
        says(kept.slice(2, 3)),
        says(not_right(3, why)),
    ]


def test_of_nothing_but_what_is_no_result_nothing_is_adopted():
    cluster = having(1)
    told = cluster.tell(harvested(0, *laid(TICKET, column(0, name(0, worker=1))), slots=(rests(TICKET, 1),)))
    assert told == [says(not_right(0, f"object 0000000000000007-{1 << 32} is another's"))]


def test_what_is_no_record_at_all_is_no_result():
    cluster = having(2)
    made = replace(column(0, b"nonsense", name(0)), statuses=bytes([REFERENCE] * 2))
    [adopts, failed, good] = cluster.tell(harvested(0, *laid(TICKET, made), slots=(rests(TICKET + 1, 2),)))
    assert adopts == AdoptResults((name(0),))
    assert failed == says(not_right(0, "8 bytes are no reference to an object"))
    assert good == says(column(0, b"nonsense", name(0)).slice(1, 2))


def test_a_file_goes_when_its_result_is_delivered():
    cluster = keeping(name(0), b"value", name(1), name(2))
    assert cluster.hear(Delivered(((run_id(1), ranges((1, 2))),))) == []
    assert cluster.hear(Delivered(((run_id(1), ranges((2, 3))),))) == [DropResults((name(1),))]
    assert cluster.hear(Delivered(((run_id(1), ranges((0, 4))),))) == [DropResults((name(0), name(2)))]
    assert is_over(cluster)


def test_files_go_when_nobody_wants_anything_of_a_run():
    cluster = keeping(name(0), name(1))
    assert cluster.hear(Forget(run_id(1))) == [DropResults((name(0), name(1)))]
    assert is_over(cluster)


def test_the_file_of_a_task_that_was_cancelled_before_it_was_heard_of_goes_at_once():
    cluster = having(3)
    cluster.tell(harvested(0, slots=(runs(TICKET, 0, 0.0),)))
    cluster.hear(CancelRun(run_id(1), ranges((1, 2))))
    made = (name(0), name(1), name(2))
    told = cluster.tell(harvested(0, *laid(TICKET, column(0, *made)), slots=(rests(TICKET + 2, 3),)))
    assert told == [
        AdoptResults(made),
        DropResults((name(1),)),
        says(column(0, *made).slice(0, 1)),
        says(column(0, *made).slice(2, 3)),
        Say(Confirmed(run_id(1), ranges((1, 2)))),
    ]


def test_the_file_of_a_task_that_ran_for_too_long_goes_at_once():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, options=BatchOptions(timeout_s=0.05)))
    runs_on = harvested(0, slots=(runs(1, 0, 0.0),))
    cluster.tell(runs_on, at=0.01)
    cluster.tell(runs_on, at=0.06)
    told = cluster.tell(harvested(0, *laid(1, column(0, name(0))), slots=(rests(1, 1),)), at=0.07)
    assert told[:2] == [AdoptResults((name(0),)), DropResults((name(0),))]
    assert is_over(cluster) is False
    cluster.hear(Delivered(((run_id(1), ranges((0, 1))),)))
    assert is_over(cluster)


def everywhere(cluster: Cluster) -> None:
    cluster.hear(run_span(1, 5, 6, options=BatchOptions(everywhere=True)))


def test_of_a_call_that_every_worker_makes_one_file_is_kept():
    cluster = ready(2)
    everywhere(cluster)
    assert cluster.tell(harvested(0, *laid(1, column(5, name(0))), slots=(rests(1, 6),))) == [AdoptResults((name(0),))]
    other = name(0, worker=1)
    assert cluster.tell(harvested(1, *laid(2, column(6, other)), slots=(rests(2, 7),))) == [
        AdoptResults((other,)),
        DropResults((other,)),
        says(column(5, name(0))),
    ]
    assert cluster.tell(ResultGone(name(0))) == [
        DropResults((name(0),)),
        Say(Returned(run_id(1), ranges((5, 6)), ReturnReason.LOST)),
    ]


def test_of_a_call_that_every_worker_makes_a_failure_is_kept_instead_of_a_file():
    cluster = ready(2)
    everywhere(cluster)
    cluster.tell(harvested(0, *laid(1, column(5, name(0))), slots=(rests(1, 6),)))
    [dropped, said] = cluster.tell(harvested(1, *laid(2, column(6, b"oh", status=RAISED)), slots=(rests(2, 7),)))
    assert dropped == DropResults((name(0),))
    assert isinstance(said, Say)


def test_of_a_call_that_every_worker_makes_nothing_is_left_when_nobody_wants_it():
    cluster = ready(2)
    everywhere(cluster)
    cluster.tell(harvested(0, *laid(1, column(5, name(0))), slots=(rests(1, 6),)))
    assert DropResults((name(0),)) in cluster.hear(Forget(run_id(1)))
    other = name(0, worker=1)
    assert cluster.tell(harvested(1, *laid(2, column(6, other)), slots=(rests(2, 7),))) == [
        AdoptResults((other,)),
        DropResults((other,)),
    ]
    assert is_over(cluster)


def test_what_else_a_worker_has_written_goes_with_it():
    cluster = having(1)
    commands = cluster.tell_all(harvested(0, *laid(TICKET, column(0, name(0))), slots=(rests(TICKET, 1),)), ended(0))
    files = [command for command in commands if isinstance(command, AdoptResults | DropLeftovers)]
    assert files == [AdoptResults((name(0),)), DropLeftovers(WorkerId(0))]


def test_pieces_are_read_for_whoever_asks_for_them():
    cluster = keeping(name(0))
    assert cluster.hear(FetchChunks(name(0), 1, 8)) == [ReadPiece(name(0), 1), ReadPiece(name(0), 2)]
    assert cluster.tell(PieceRead(name(0), 1, DATA), PieceRead(name(0), 2, DATA)) == [
        Say(ObjectChunk(name(0), 1, SIZE), DATA),
        Say(ObjectChunk(name(0), 2, SIZE), DATA),
    ]
    assert cluster.hear(FetchChunks(name(0), 3, 8)) == []


def test_no_more_pieces_are_read_than_anybody_needs_at_a_time():
    cluster = having(1)
    huge = record_of(Reference(name(0), 1 << 40, "/store/0", b"t" * 16))
    made = replace(column(0, huge), statuses=bytes([REFERENCE]))
    cluster.tell(harvested(0, Piece(TicketId(TICKET), made), slots=(rests(TICKET, 1),)))
    assert len(cluster.hear(FetchChunks(name(0), 0, 1 << 60))) == MOST_PIECES


def test_that_others_will_come_is_remembered_until_it_goes():
    cluster = keeping(name(0))
    assert cluster.hear(FetchChunks(name(0), 0, 0)) == []
    assert cluster.hear(FetchChunks(name(1), 0, 0)) == [Say(ObjectsDropped((name(1),)))]
    assert Say(ObjectsDropped((name(0),))) in cluster.hear(Delivered(((run_id(1), ranges((0, 1))),)))


def test_another_cluster_is_answered_itself():
    cluster = keeping(name(0))
    assert cluster.tell(PeerAsked(5, FetchChunks(name(0), 1, 1))) == [ReadPiece(name(0), 1, 5)]
    assert cluster.tell(PieceRead(name(0), 1, DATA, 5)) == [AnswerPeer(5, ObjectChunk(name(0), 1, SIZE), DATA)]
    gone = AnswerPeer(5, ObjectsDropped((name(1),)))
    assert cluster.tell(PeerAsked(5, FetchChunks(name(1), 0, 1))) == [gone]
    assert cluster.tell(PeerAsked(5, FetchChunks(name(0), 0, 1)), ResultGone(name(0), 5))[:2] == [
        ReadPiece(name(0), 0, 5),
        AnswerPeer(5, ObjectsDropped((name(0),))),
    ]


def test_what_is_not_here_is_not_here():
    cluster = keeping(name(0))
    assert cluster.hear(FetchChunks(name(1), 0, 1)) == [Say(ObjectsDropped((name(1),)))]
    delivered = Delivered(((run_id(1), ranges((0, 1))),))
    assert cluster.hear(FetchChunks(name(0), 0, 1), delivered) == [
        ReadPiece(name(0), 0),
        DropResults((name(0),)),
        Say(ObjectsDropped((name(0),))),  # those who have copies hear of it
    ]
    assert cluster.tell(PieceRead(name(0), 0, DATA)) == [Say(ObjectsDropped((name(0),)))]
    assert cluster.tell(ResultGone(name(0))) == []


def test_a_task_whose_file_is_gone_is_the_schedulers_again():
    cluster = keeping(name(0), name(1), b"value")
    assert cluster.hear(FetchChunks(name(1), 0, 1)) == [ReadPiece(name(1), 0)]
    assert cluster.tell(ResultGone(name(1)), ResultGone(name(1))) == [
        DropResults((name(1),)),
        Say(ObjectsDropped((name(1),))),
        Say(Returned(run_id(1), ranges((1, 2)), ReturnReason.LOST)),
    ]
    assert cluster.hear(Delivered(((run_id(1), ranges((0, 3))),))) == [DropResults((name(0),))]
    assert is_over(cluster)


def test_it_is_found_wherever_it_is_kept():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(harvested(0, *laid(1, column(0, name(0))), slots=(rests(1, 1),)))
    other = name(0, worker=1)
    cluster.tell(harvested(1, *laid(2, column(1, other)), slots=(rests(2, 2),)))
    assert Say(Returned(run_id(1), ranges((1, 2)), ReturnReason.LOST)) in cluster.tell(ResultGone(other))


def test_one_that_is_not_said_yet_is_nobodys_loss():
    cluster = ready(2)
    everywhere(cluster)
    cluster.tell(harvested(0, *laid(1, column(5, name(0))), slots=(rests(1, 6),)))
    assert cluster.tell(ResultGone(name(0))) == []


def test_another_scheduler_is_told_of_what_is_kept():
    cluster = keeping(name(0), name(1))
    cluster.hear(Delivered(((run_id(1), ranges((0, 1))),)))
    said = cluster.tell(LinkUp(EPOCH, resumed=False))
    assert said[-1] == says(column(0, name(0), name(1)).slice(1, 2))
    assert [command for command in said if not isinstance(command, Say)] == []


def test_a_result_that_is_said_again_has_one_file():
    cluster = keeping(name(0))
    assert cluster.hear(NeedResults(run_id(1), ranges((0, 1)))) == [says(column(0, name(0)))]


# ---- the cluster leaves


def content(index: int, data: bytes) -> ResultColumn:
    made = column(index, data, status=CONTENT)
    return replace(made, base=0)


def test_what_is_not_read_is_handed_over_by_value_before_the_cluster_leaves():
    cluster = keeping(name(0), b"value", name(1))
    assert ReadResult(name(0)) in cluster.tell(StopAsked(0.0, "SIGTERM"), at=1.0)
    assert cluster.tell(ResultRead(name(0), (b"zero",))) == [
        DropResults((name(0),)),
        ReadResult(name(1)),
        says(content(0, b"zero")),
    ]
    assert cluster.tell(ResultRead(name(1), (b"one",)))[-1] == says(content(2, b"one"))
    cluster.tell(ended(0, exit_code=0), at=1.1)
    assert not cluster.agent._ending.has_ended
    cluster.hear(Delivered(((run_id(1), ranges((0, 3))),)), at=1.2)
    assert cluster.agent._ending.has_ended


def test_it_waits_for_that_no_longer_than_a_moment_or_until_it_is_told_again():
    for again in (False, True):
        cluster = keeping(name(0))
        cluster.tell(StopAsked(0.0, "SIGTERM"), at=1.0)
        cluster.tell(ResultRead(name(0), (b"zero",)), ended(0, exit_code=0), at=1.1)
        assert cluster.agent.next_deadline() == 1.0 + HAND_OVER_S
        if again:
            cluster.tell(StopAsked(0.0, "SIGTERM"), at=1.2)
        else:
            cluster.tell(at=1.0 + HAND_OVER_S)
        assert cluster.agent._ending.has_ended


def test_what_is_dropped_or_gone_meanwhile_is_not_handed_over():
    cluster = keeping(name(0), name(1), name(2))
    cluster.tell(StopAsked(5.0, "SIGTERM"), at=1.0)
    cluster.hear(Delivered(((run_id(1), ranges((0, 2))),)))
    assert cluster.tell(ResultRead(name(0), (b"zero",))) == [ReadResult(name(2))]
    assert cluster.tell(ResultGone(name(2))) == [
        DropResults((name(2),)),
        Say(Returned(run_id(1), ranges((2, 3)), ReturnReason.LOST)),
    ]
    assert is_over(cluster)


def test_not_more_is_on_its_way_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_stored, "MOST_HANDED_BYTES", 4)
    cluster = keeping(name(0), name(1))
    cluster.tell(StopAsked(5.0, "SIGTERM"), at=1.0)
    assert ReadResult(name(1)) not in cluster.tell(ResultRead(name(0), (b"zero",)))
    assert cluster.hear(Delivered(((run_id(1), ranges((0, 1))),))) == [ReadResult(name(1))]


def test_results_that_come_while_it_leaves_are_handed_over_too():
    cluster = having(2)
    cluster.tell(harvested(0, *laid(TICKET, column(0, name(0))), slots=(runs(TICKET + 1, 1, 1.0),)))
    cluster.tell(StopAsked(5.0, "SIGTERM"), ResultRead(name(0), (b"zero",)), at=1.0)
    told = cluster.tell(harvested(0, *laid(TICKET + 1, column(1, name(1))), slots=(rests(TICKET + 1, 2),)), at=2.0)
    assert ReadResult(name(1)) in told
