"""Objects that come from other clusters and go to others, piece by piece; through the scheduler where that fails."""

import pytest

from scaler.ids import Incarnation, ObjectId
from scaler.pieces import MOST_PIECE_FRAMES, MOST_PIECES, STEP
from scaler.protocol import (
    CancelRun,
    Door,
    FetchChunks,
    FreeObjects,
    ObjectChunk,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    PeerPass,
    ToPeer,
)
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.protocol.references import Reference, record_of
from scaler.worker.agent_events import (
    Command,
    DropObject,
    Event,
    LinkUp,
    Note,
    ObjectAway,
    ObjectHere,
    ObjectRefused,
    Received,
    Say,
    StorePiece,
)
from scaler.worker.agent_peer_events import AnswerPeer, AskPeer, PeerAsked, PeerGone, PeerLeft, PeerSaid, UsePass
from scaler.worker.agent_result_events import PieceRead, ReadPiece, ResultGone
from tests.unit.worker.examples import EPOCH, Cluster, harvested, piece, ranges, ready, rests, run_id
from tests.unit.worker.test_agent_objects import span_with

PIECES = 2 * STEP + 3
LAST_BYTES = 1000
SIZE = (PIECES - 1) * MAX_FRAME_BYTES + LAST_BYTES
OWNER = Incarnation(5)
OBJECT, OTHER = ObjectId(OWNER, 1), ObjectId(OWNER, 2)
DATA, LAST = (bytes(MAX_FRAME_BYTES),), (bytes(LAST_BYTES),)
THERE, ELSEWHERE = Door("tcp://10.0.0.2:4000", "k" * 40), Door("tcp://10.0.0.3:4000", "k" * 40)
ASKER, SECOND_ASKER = 7, 8


def reference(name: ObjectId = OBJECT) -> Reference:
    return Reference(name, SIZE, f"/there/{name.n}", b"t" * 16)


def here() -> Reference:
    return Reference(OBJECT, SIZE, "/here/1", b"h" * 16)


def says(first: int, count: int, name: ObjectId = OBJECT, *, insists: bool = False) -> Command:
    return Say(FetchChunks(name, first, count, insists))


def asks(first: int, count: int, name: ObjectId = OBJECT, door: Door = THERE) -> Command:
    return AskPeer(door, FetchChunks(name, first, count))


def chunk(n: int, name: ObjectId = OBJECT) -> ObjectChunk:
    return ObjectChunk(name, n, SIZE)


def comes(n: int, name: ObjectId = OBJECT, door: Door = THERE) -> Event:
    return PeerSaid(door, chunk(n, name), LAST if n == PIECES - 1 else DATA)


def stores(n: int, *, is_first: bool = False, is_last: bool = False) -> Command:
    return StorePiece(OBJECT, SIZE, n, LAST if n == PIECES - 1 else DATA, is_first=is_first, is_last=is_last)


def answers(message: ToPeer, frames: tuple[bytes, ...] = (), to: int = ASKER) -> Command:
    return AnswerPeer(to, message, frames)


def asked(first: int, count: int, name: ObjectId = OBJECT, by: int = ASKER) -> Event:
    return PeerAsked(by, FetchChunks(name, first, count))


def fetching(name: ObjectId = OBJECT, cluster: Cluster | None = None, n: int = 1) -> Cluster:
    """A cluster that needs an object, which it is told to fetch from another."""
    cluster = ready() if cluster is None else cluster
    cluster.hear(span_with([[0]], record_of(reference(name)), n=n))
    assert cluster.tell(ObjectAway(name)) == [says(0, STEP, name), says(STEP, STEP, name)]
    told = cluster.hear(Received(ObjectLocated(name, SIZE, (THERE, ELSEWHERE))))
    assert told == [asks(0, STEP, name), asks(STEP, STEP, name)]
    return cluster


def test_an_object_is_fetched_where_the_scheduler_says():
    cluster = fetching()
    assert cluster.hear(Received(ObjectLocated(OBJECT, SIZE, (THERE,)))) == []
    assert cluster.tell(comes(1)) == [stores(1, is_first=True)]
    assert cluster.tell(comes(0)) == [stores(0)]
    assert cluster.tell(comes(2)) == [stores(2), asks(2 * STEP, 3)]
    for n in range(3, PIECES - 1):
        assert cluster.tell(comes(n)) == [stores(n)]
    assert cluster.tell(comes(PIECES - 1)) == [stores(PIECES - 1, is_last=True)]
    assert Say(ObjectsHeld((OBJECT,))) in cluster.tell(ObjectHere(here()))


def test_what_comes_from_the_scheduler_after_all_is_taken_too():
    cluster = fetching()
    assert cluster.hear(Received(chunk(0), DATA)) == [stores(0, is_first=True)]
    assert cluster.tell(comes(0)) == []


def test_what_comes_unasked_or_from_elsewhere_is_passed_over():
    cluster = fetching()
    assert cluster.tell(comes(0, door=ELSEWHERE), comes(PIECES - 1), comes(0, OTHER)) == []


def test_where_nobody_answers_it_comes_through_the_scheduler_and_it_is_not_sent_there_again():
    cluster = fetching()
    cluster.tell(comes(0))
    assert cluster.tell(PeerGone(ELSEWHERE)) == []
    again = [says(1, STEP, insists=True), says(1 + STEP, STEP, insists=True)]
    assert cluster.tell(PeerGone(THERE)) == again
    assert cluster.hear(Received(ObjectLocated(OBJECT, SIZE, (THERE,)))) == []
    assert cluster.tell(comes(2)) == []
    assert cluster.hear(Received(chunk(2), DATA)) == [stores(2)]


def test_who_has_it_no_more_is_not_asked_for_it_again_and_for_others_still():
    cluster = fetching()
    assert cluster.tell(PeerSaid(THERE, ObjectsDropped((OTHER,)))) == []
    told = cluster.tell(PeerSaid(THERE, ObjectsDropped((OBJECT,))))
    assert told == [says(0, STEP, insists=True), says(STEP, STEP, insists=True)]


def test_who_is_told_to_ask_again_asks_again():
    cluster = fetching()
    cluster.tell(comes(0))
    assert cluster.hear(Received(ObjectLocated(OBJECT, SIZE, ()))) == [says(1, STEP), says(1 + STEP, STEP)]
    assert cluster.hear(Received(ObjectLocated(OBJECT, SIZE, (ELSEWHERE,)))) == [
        asks(1, STEP, door=ELSEWHERE),
        asks(1 + STEP, STEP, door=ELSEWHERE),
    ]


@pytest.mark.parametrize(
    "frames", [(), (b"short",), (*[b""] * MOST_PIECE_FRAMES, bytes(MAX_FRAME_BYTES)), (bytes(MAX_FRAME_BYTES + 1),)]
)
def test_what_is_no_piece_ends_what_comes_from_there(frames: tuple[bytes, ...]):
    cluster = fetching()
    told = cluster.tell(PeerSaid(THERE, chunk(0), frames))
    assert [command for command in told if not isinstance(command, Note)] == [
        says(0, STEP, insists=True),
        says(STEP, STEP, insists=True),
    ]


def test_a_new_scheduler_is_not_asked_for_what_comes_from_another_cluster():
    cluster = fetching()
    told = cluster.tell(LinkUp(EPOCH, resumed=False))
    assert not [command for command in told if isinstance(command, Say) and isinstance(command.message, FetchChunks)]
    assert cluster.tell(comes(0)) == [stores(0, is_first=True)]


def test_who_asks_gets_what_has_come_at_once_and_the_rest_as_it_comes():
    cluster = fetching()
    cluster.tell(comes(0))
    assert cluster.tell(asked(0, 3)) == [ReadPiece(OBJECT, 0, ASKER)]
    assert cluster.tell(PieceRead(OBJECT, 0, DATA, ASKER)) == [answers(chunk(0), DATA)]
    assert cluster.tell(asked(2, 1, by=SECOND_ASKER)) == []
    assert cluster.tell(comes(1)) == [stores(1), answers(chunk(1), DATA)]
    assert cluster.tell(comes(2)) == [
        stores(2),
        answers(chunk(2), DATA),
        answers(chunk(2), DATA, SECOND_ASKER),
        asks(2 * STEP, 3),
    ]
    assert cluster.tell(asked(PIECES - 1, 5)) == []


def whole() -> Cluster:
    """A cluster with a copy."""
    cluster = fetching()
    cluster.tell(*[comes(n) for n in range(2 * STEP)])
    cluster.tell(*[comes(n) for n in range(2 * STEP, PIECES)])
    cluster.tell(ObjectHere(here()))
    return cluster


def test_of_a_copy_every_piece_can_be_had_but_not_too_many_at_a_time():
    cluster = whole()
    assert cluster.tell(asked(PIECES - 2, 9)) == [ReadPiece(OBJECT, n, ASKER) for n in (PIECES - 2, PIECES - 1)]
    assert len(cluster.tell(asked(0, 1 << 60))) == min(MOST_PIECES, PIECES)
    assert cluster.tell(asked(PIECES, 1)) == []


def test_what_is_not_here_is_refused():
    cluster = fetching()
    assert cluster.tell(asked(0, 2, OTHER)) == [answers(ObjectsDropped((OTHER,)))]
    cluster.hear(span_with([[0]], record_of(reference(OTHER)), n=2))
    assert cluster.tell(asked(0, 2, OTHER)) == [answers(ObjectsDropped((OTHER,)))]
    # another's file on this host is not for us to give away
    cluster.tell(ObjectHere(reference(OTHER)))
    assert cluster.tell(asked(0, 2, OTHER)) == [answers(ObjectsDropped((OTHER,)))]


def test_what_can_be_read_no_more_is_refused():
    cluster = whole()
    cluster.tell(asked(0, 1))
    assert cluster.tell(ResultGone(OBJECT, ASKER)) == [answers(ObjectsDropped((OBJECT,)))]


def test_who_waits_for_what_is_wanted_no_more_hears_so_and_so_does_the_scheduler():
    cluster = fetching()
    cluster.tell(asked(0, 3), asked(1, 1, by=SECOND_ASKER))
    told = cluster.hear(Received(CancelRun(run_id(), ranges((0, 1)))))
    assert [command for command in told if not isinstance(command, Say)] == [
        DropObject(OBJECT),
        answers(ObjectsDropped((OBJECT,))),
        answers(ObjectsDropped((OBJECT,)), to=SECOND_ASKER),
    ]
    assert Say(ObjectsDropped((OBJECT,))) in told


def test_who_waits_for_what_is_lost_or_has_no_room_hears_so():
    cluster = fetching()
    cluster.tell(asked(0, 3))
    assert answers(ObjectsDropped((OBJECT,))) in cluster.hear(Received(ObjectsLost((OBJECT,))))
    cluster = fetching()
    cluster.tell(comes(0), asked(1, 1))
    told = cluster.tell(ObjectRefused(OBJECT, "the disk is full"))
    assert answers(ObjectsDropped((OBJECT,))) in told
    assert Say(ObjectsDropped((OBJECT,))) in told


def test_who_has_left_is_not_answered():
    cluster = fetching()
    cluster.tell(asked(0, 2), asked(1, 2, by=SECOND_ASKER), PeerLeft(ASKER))
    assert cluster.tell(comes(0)) == [stores(0, is_first=True)]
    assert cluster.tell(comes(1)) == [stores(1), answers(chunk(1), DATA, SECOND_ASKER)]
    cluster.tell(PeerLeft(SECOND_ASKER))
    assert cluster.tell(comes(2))[:2] == [stores(2), asks(2 * STEP, 3)]


def test_a_copy_that_nobody_refers_to_goes_though_others_could_ask():
    cluster = whole()
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert DropObject(OBJECT) in cluster.hear(Received(FreeObjects((OBJECT,))))
    assert cluster.tell(asked(0, 1)) == [answers(ObjectsDropped((OBJECT,)))]


def test_the_pass_goes_to_the_shell():
    shown = PeerPass("public", "secret")
    assert ready().hear(Received(shown)) == [UsePass(shown)]
