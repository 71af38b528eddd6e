"""Runs that need objects: they wait until all are on this host, which fetches each once, whoever needs it."""

from collections.abc import Sequence

import pytest

from scaler.ids import Incarnation, ObjectId
from scaler.pieces import STEP, WINDOW
from scaler.protocol import (
    BatchOptions,
    CancelRun,
    Cause,
    Failure,
    FetchChunks,
    FreeObjects,
    NeedFunction,
    ObjectChunk,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    RunSpan,
    SpanResult,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES
from scaler.protocol.inputs import input_frames
from scaler.protocol.references import Reference, record_of
from scaler.worker.agent_events import (
    Command,
    DropObject,
    Give,
    Hold,
    LinkUp,
    ObjectAway,
    ObjectHere,
    ObjectRefused,
    Received,
    Say,
    StorePiece,
)
from tests.unit.worker.examples import (
    EPOCH,
    Cluster,
    F,
    G,
    batch_id,
    calls,
    define,
    defines,
    give,
    harvested,
    offsets,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    span_result,
)

PIECES = 2 * STEP + 3
OWNER = Incarnation(5)
FIRST, SECOND = ObjectId(OWNER, 1), ObjectId(OWNER, 2)
DATA = (b"piece",)
PLACE = "host (c)"
FULL = "the disk is full"
THERE = "/dev/shm/scaler-store-there/1"  # noqa: S108  # nothing is there


def reference(name: ObjectId = FIRST, path: str = THERE, size_bytes: int = PIECES * MAX_FRAME_BYTES - 7) -> Reference:
    return Reference(name, size_bytes, path, b"t" * 16)


def here(name: ObjectId = FIRST) -> Reference:
    return reference(name, f"/here/{name.n}")


def span_with(needs: Sequence[Sequence[int]], *values: bytes, n: int = 1, function: bytes = F) -> Received:
    """A run whose calls need these of the values."""
    behind = input_frames(needs, [(value,) for value in values])
    options = BatchOptions()
    message = RunSpan(run_id(n), batch_id(n), 0, len(needs), function, options, len(behind))  # type: ignore[arg-type]  # a plain name
    return Received(message, (offsets(0, [4] * len(needs)), calls(0, len(needs)), *behind))


def gives(worker: int, ticket: int, lo: int, needs: Sequence[Sequence[int]], *values: bytes, n: int = 1) -> Command:
    given = give(worker, ticket, lo, lo + len(needs), n=n)
    assert isinstance(given, Give)
    behind = input_frames(needs, [(value,) for value in values])
    return Give(given.worker, given.ticket, given.run, given.function, given.options, given.column, given.batch, behind)


def asks(first: int, count: int, name: ObjectId = FIRST) -> Command:
    return Say(FetchChunks(name, first, count))


def stores(n: int, name: ObjectId = FIRST, *, is_first: bool = False, is_last: bool = False) -> Command:
    return StorePiece(name, reference().size_bytes, n, DATA, is_first=is_first, is_last=is_last)


def comes(n: int, name: ObjectId = FIRST) -> Received:
    return Received(ObjectChunk(name, n, reference().size_bytes), DATA)


def fails(index: int, name: ObjectId, why: str, n: int = 1) -> Command:
    text = f"object {OWNER:016x}-{name.n} of {reference().size_bytes:,} bytes cannot be had: {why}"
    data = encode_failure(Failure(Cause.OBJECT_LOST, text, PLACE))
    frames = (bytes([FAILED]), bytes(4), len(data).to_bytes(8, "little"), b"", data)
    return Say(SpanResult(run_id(n), index, index + 1, 0, PLACE), frames)


def fetching(cluster: Cluster, *, n: int = 1) -> None:
    """A run needs the first object, which lies on another host."""
    assert cluster.hear(span_with([[0]], record_of(reference()), n=n)) == [Hold(reference())]
    assert cluster.tell(ObjectAway(FIRST)) == [asks(0, STEP), asks(STEP, STEP)]


def fetched(cluster: Cluster) -> list[Command]:
    """All of it comes; what is done about the last piece."""
    for number in range(PIECES - 1):
        cluster.hear(comes(number))
    assert cluster.hear(comes(PIECES - 1)) == [stores(PIECES - 1, is_last=True)]
    return cluster.tell(ObjectHere(here()))


def test_what_lies_on_this_host_is_mapped_where_it_lies():
    cluster = ready()
    record = record_of(reference())
    assert cluster.hear(span_with([[0, 1, 0]], record, b"value")) == [Hold(reference())]
    assert cluster.tell(ObjectHere(reference())) == [defines(0), gives(0, 1, 0, [[0, 1, 0]], record, b"value")]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [span_result(0, 1)]
    assert cluster.hear(span_with([[0]], record, n=2)) == [Hold(reference())]


def test_a_run_waits_for_its_function_and_for_all_its_objects():
    cluster = ready()
    records = (record_of(reference(FIRST)), record_of(reference(SECOND)))
    assert cluster.hear(span_with([[0, 1]], *records, function=G)) == [
        Hold(reference(FIRST)),
        Hold(reference(SECOND)),
        Say(NeedFunction(G)),  # type: ignore[arg-type]  # a plain name
    ]
    assert cluster.tell(ObjectHere(reference(SECOND))) == []
    assert cluster.hear(define(G)) == []
    found = cluster.tell(ObjectHere(reference(FIRST)))
    assert [type(command) for command in found] == [type(defines(0, G)), Give]


def test_another_run_that_needs_what_is_here_does_not_wait():
    cluster = ready(2)
    record = record_of(reference())
    cluster.hear(span_with([[0]], record))
    cluster.tell(ObjectHere(reference()))
    assert cluster.hear(span_with([[0]], record, n=2)) == [defines(1), gives(1, 2, 0, [[0]], record, n=2)]


def test_what_lies_elsewhere_comes_piece_by_piece_and_is_told_of():
    cluster = ready()
    fetching(cluster)
    left = PIECES - WINDOW
    for number in range(PIECES - 1):
        asked = [asks(WINDOW, left)] if number == left - 1 else []
        assert cluster.hear(comes(number)) == [stores(number, is_first=not number), *asked], number
    assert cluster.hear(comes(PIECES - 1)) == [stores(PIECES - 1, is_last=True)]
    assert cluster.tell(ObjectHere(here())) == [
        defines(0),
        gives(0, 1, 0, [[0]], record_of(here())),
        Say(ObjectsHeld((FIRST,))),
    ]


def test_a_copy_is_kept_until_nobody_refers_to_it():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    assert cluster.hear(FreeObjects((FIRST,))) == []
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [DropObject(FIRST), span_result(0, 1)]
    fetching(cluster, n=2)
    fetched(cluster)
    cluster.tell(harvested(0, piece(2, 0, 1), slots=(rests(2, 1),)))
    record = record_of(reference())
    assert cluster.hear(span_with([[0]], record, n=3)) == [gives(0, 3, 0, [[0]], record_of(here()), n=3)]
    cluster.tell(harvested(0, piece(3, 0, 1), slots=(rests(3, 1),)))
    assert cluster.hear(FreeObjects((FIRST, SECOND))) == [DropObject(FIRST)]


def test_pieces_that_were_not_asked_for_now_change_nothing():
    cluster = ready()
    assert cluster.hear(comes(0)) == []
    fetching(cluster)
    assert cluster.hear(comes(WINDOW)) == []
    cluster.hear(comes(0))
    assert cluster.hear(comes(0)) == []


def test_pieces_may_come_in_any_order():
    cluster = ready()
    fetching(cluster)
    assert cluster.hear(comes(5), comes(4)) == [stores(5, is_first=True), stores(4)]
    for number in range(PIECES):
        if number not in (4, 5):
            last = cluster.hear(comes(number))
    assert last == [stores(PIECES - 1, is_last=True)]


def test_what_has_no_room_leaves_its_turn_to_others():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)  # it is in use, so that its copy cannot go
    wanted(cluster, n=2)
    third = ObjectId(OWNER, 3)
    cluster.hear(span_with([[0]], record_of(reference(third)), n=3))
    assert cluster.tell(ObjectAway(third)) == []
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [
        Say(ObjectsDropped((SECOND,))),
        asks(0, STEP, third),
        asks(STEP, STEP, third),
    ]


def test_what_is_given_up_makes_room_for_what_others_wait_for():
    cluster = ready()
    fetching(cluster)
    cluster.hear(span_with([[0]], record_of(reference(SECOND)), n=2))
    assert cluster.tell(ObjectAway(SECOND)) == []
    assert cluster.hear(CancelRun(run_id(1), ranges((0, 1))))[:3] == [
        DropObject(FIRST),
        Say(ObjectsDropped((FIRST,))),
        asks(0, STEP, SECOND),
    ]


def test_what_no_run_waits_for_any_more_is_not_fetched_to_its_end():
    cluster = ready()
    fetching(cluster)
    cluster.hear(comes(0))
    assert cluster.hear(CancelRun(run_id(1), ranges((0, 1))))[0] == DropObject(FIRST)
    assert cluster.hear(comes(1)) == []
    assert cluster.tell(ObjectHere(here())) == []
    fetching(cluster, n=2)


def test_what_nobody_has_any_more_fails_the_runs_that_wait_for_it():
    cluster = ready()
    fetching(cluster)
    cluster.hear(span_with([[0], [0]], record_of(reference()), n=2))
    why = "nobody has it any more"
    assert cluster.hear(ObjectsLost((SECOND, FIRST))) == [
        DropObject(FIRST),
        Say(ObjectsDropped((FIRST,))),
        fails(0, FIRST, why),
        fails(0, FIRST, why, n=2),
        fails(1, FIRST, why, n=2),
    ]


def test_a_new_scheduler_is_told_of_copies_and_asked_for_what_has_not_come():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    record = record_of(reference(SECOND))
    cluster.hear(span_with([[0]], record, n=2))
    cluster.tell(ObjectAway(SECOND))
    cluster.hear(comes(0, SECOND))
    said = cluster.tell(LinkUp(EPOCH, resumed=False))
    assert said[-3:] == [Say(ObjectsHeld((FIRST,))), asks(1, STEP, SECOND), asks(1 + STEP, STEP, SECOND)]


def test_one_whose_owner_is_not_back_yet_is_in_nobodys_way_and_asked_for_when_it_is():
    cluster = ready()
    fetching(cluster)
    cluster.hear(span_with([[0]], record_of(reference(SECOND)), n=2))
    cluster.tell(ObjectAway(SECOND))
    assert cluster.hear(ObjectLocated(FIRST, 0, ())) == [asks(0, STEP, SECOND), asks(STEP, STEP, SECOND)]
    assert cluster.hear(ObjectLocated(FIRST, 1, ())) == []
    for number in range(STEP):
        asked = cluster.hear(comes(number, SECOND))[1:]
    assert asked == [asks(0, STEP)]


def wanted(cluster: Cluster, *, n: int) -> None:
    """Another run needs the second object, of which a piece has come."""
    cluster.hear(span_with([[0]], record_of(reference(SECOND)), n=n))
    cluster.tell(ObjectAway(SECOND))
    assert cluster.hear(comes(0, SECOND))[0] == stores(0, SECOND, is_first=True)


def test_copies_that_no_run_needs_make_room_for_another():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    wanted(cluster, n=2)
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [
        DropObject(FIRST),
        Say(ObjectsDropped((FIRST,))),
        asks(0, STEP, SECOND),
        asks(STEP, STEP, SECOND),
    ]
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == []
    cluster.hear(comes(0, SECOND))
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [
        DropObject(SECOND),
        Say(ObjectsDropped((SECOND,))),
        fails(0, SECOND, "the disk is full", n=2),
    ]
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == []


def test_what_has_no_room_waits_for_that_of_what_is_in_use():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    wanted(cluster, n=2)
    # the scheduler sends nobody here for it
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [Say(ObjectsDropped((SECOND,)))]
    assert cluster.hear(comes(1, SECOND)) == []
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [
        DropObject(FIRST),
        Say(ObjectsDropped((FIRST,))),
        asks(0, STEP, SECOND),
        asks(STEP, STEP, SECOND),
        span_result(0, 1),
    ]


def needing_both(cluster: Cluster, *, n: int) -> None:
    """A run needs the first object, which is here, and the second, of which a piece has come."""
    cluster.hear(span_with([[0, 1]], record_of(reference()), record_of(reference(SECOND)), n=n))
    cluster.tell(ObjectAway(SECOND))
    assert cluster.hear(comes(0, SECOND))[0] == stores(0, SECOND, is_first=True)


def test_a_run_that_keeps_the_only_copy_itself_fails_where_its_other_object_has_no_room():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    needing_both(cluster, n=2)
    assert fails(0, SECOND, FULL, n=2) in cluster.tell(ObjectRefused(SECOND, FULL))


def test_who_waits_for_room_looks_again_when_nobody_is_left_who_could_make_any():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)
    needing_both(cluster, n=2)
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [Say(ObjectsDropped((SECOND,)))]
    # the run that needed the first alone has ended, and the other keeps that
    done = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert done == [asks(0, STEP, SECOND), asks(STEP, STEP, SECOND), span_result(0, 1)]
    cluster.hear(comes(0, SECOND))
    assert fails(0, SECOND, FULL, n=2) in cluster.tell(ObjectRefused(SECOND, FULL))


def test_of_two_that_both_have_no_room_and_nothing_in_use_one_fails_and_the_other_is_tried_again():
    cluster = ready(2)
    fetching(cluster)
    cluster.hear(span_with([[0]], record_of(reference(SECOND)), n=2))
    cluster.tell(ObjectAway(SECOND))
    for number in range(STEP):
        cluster.hear(comes(number))
    for number in range(STEP, WINDOW):
        cluster.hear(comes(number))
    cluster.hear(comes(0, SECOND))
    assert cluster.tell(ObjectRefused(FIRST, "full"))[:1] != [DropObject(FIRST)]
    told = cluster.tell(ObjectRefused(SECOND, "full"))
    assert told[0] == DropObject(SECOND)
    assert told[-1] == fails(0, SECOND, "full", n=2)
    assert asks(0, STEP) in told


def test_what_waits_for_room_is_lost_and_given_up_as_any_other():
    for said in (ObjectsLost((SECOND,)), CancelRun(run_id(2), ranges((0, 1)))):
        cluster = ready()
        fetching(cluster)
        fetched(cluster)
        wanted(cluster, n=2)
        cluster.tell(ObjectRefused(SECOND, FULL))
        assert cluster.hear(said)[0] == DropObject(SECOND)
        assert not cluster.agent._objects._crowded


def test_an_answer_about_a_copy_that_was_dropped_meanwhile_is_not_believed():
    cluster = ready()
    fetching(cluster)
    for number in range(PIECES - 1):
        cluster.hear(comes(number))
    again = span_with([[0]], record_of(reference()), n=2)
    orders = cluster.hear(comes(PIECES - 1), CancelRun(run_id(1), ranges((0, 1))), again)
    assert orders[:3] == [stores(PIECES - 1, is_last=True), DropObject(FIRST), Hold(reference())]
    assert cluster.tell(ObjectHere(here()), ObjectAway(FIRST)) == [asks(0, STEP), asks(STEP, STEP)]


@pytest.mark.parametrize("size_bytes", [1, MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1])
def test_there_are_as_many_pieces_as_it_takes(size_bytes: int):
    cluster = ready()
    cluster.hear(span_with([[0]], record_of(reference(size_bytes=size_bytes))))
    assert cluster.tell(ObjectAway(FIRST)) == [asks(0, -(-size_bytes // MAX_FRAME_BYTES))]
