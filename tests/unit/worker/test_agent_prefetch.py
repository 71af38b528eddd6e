"""Objects that runs to come will need: fetched behind all that runs need already, into room that nobody else wants."""

from scaler.ids import ObjectId
from scaler.pieces import STEP, WINDOW
from scaler.protocol import (
    CancelRun,
    Door,
    Drain,
    FetchChunks,
    FreeObjects,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    PrefetchObjects,
)
from scaler.protocol.inputs import input_frames
from scaler.protocol.references import Reference, record_of
from scaler.worker.agent_events import DropObject, Hold, LinkUp, ObjectAway, ObjectHere, ObjectRefused, Received, Say
from scaler.worker.agent_peer_events import AskPeer
from tests.unit.worker.examples import (
    EPOCH,
    Cluster,
    defines,
    harvested,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    span_result,
)
from tests.unit.worker.test_agent_objects import (
    FIRST,
    FULL,
    OWNER,
    PIECES,
    SECOND,
    asks,
    comes,
    fetched,
    fetching,
    gives,
    here,
    reference,
    span_with,
    stores,
    wanted,
)

THIRD = ObjectId(OWNER, 3)
DROPPED = [DropObject(FIRST), Say(ObjectsDropped((FIRST,)))]
ASKED = [asks(0, STEP), asks(STEP, STEP)]


def expects(*references: Reference) -> Received:
    """The scheduler says what runs to come will need."""
    values = [(record_of(one),) for one in references]
    return Received(PrefetchObjects(), input_frames([list(range(len(values)))], values))


def needs(name: ObjectId = FIRST, *, n: int = 1) -> Received:
    return span_with([[0]], record_of(reference(name)), n=n)


def expecting() -> Cluster:
    """A cluster that fetches the first object, which no run needs yet, from another host."""
    cluster = ready()
    assert cluster.hear(expects(reference())) == [Hold(reference(), early=True)]
    assert cluster.tell(ObjectAway(FIRST)) == ASKED
    return cluster


def also_expects(cluster: Cluster, name: ObjectId) -> None:
    """It waits for its turn behind what is on its way."""
    assert cluster.hear(expects(reference(name))) == [Hold(reference(name), early=True)]
    assert cluster.tell(ObjectAway(name)) == []


def test_what_lies_elsewhere_is_fetched_and_kept_for_the_run_that_comes():
    cluster = expecting()
    assert fetched(cluster) == [Say(ObjectsHeld((FIRST,)))]
    assert cluster.hear(needs()) == [defines(0), gives(0, 1, 0, [[0]], record_of(here()))]
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [span_result(0, 1)]
    assert cluster.hear(FreeObjects((FIRST,))) == [DropObject(FIRST)]


def test_what_lies_on_this_host_is_let_go_of_at_once():
    cluster = ready()
    assert cluster.hear(expects(reference())) == [Hold(reference(), early=True)]
    assert cluster.tell(ObjectHere(reference())) == []
    assert cluster.hear(FreeObjects((FIRST,))) == []
    assert cluster.hear(needs()) == [Hold(reference())]


def test_values_that_are_no_objects_are_passed_over():
    values = [(b"value",), (record_of(reference()),)]
    assert ready().hear(Received(PrefetchObjects(), input_frames([[0, 1]], values))) == [Hold(reference(), early=True)]


def test_what_is_looked_for_or_on_its_way_or_here_is_not_asked_for_anew():
    cluster = ready()
    assert cluster.hear(expects(reference(), reference())) == [Hold(reference(), early=True)]
    assert cluster.hear(expects(reference())) == []
    assert cluster.tell(ObjectAway(FIRST)) == ASKED
    assert cluster.hear(expects(reference())) == []
    fetched(cluster)
    assert cluster.hear(expects(reference())) == []


def test_what_a_run_needs_already_comes_once():
    cluster = ready()
    fetching(cluster)
    assert cluster.hear(expects(reference())) == []
    fetched(cluster)
    assert cluster.hear(expects(reference())) == []


def test_a_run_that_needs_what_is_looked_for_waits_for_it():
    cluster = ready()
    cluster.hear(expects(reference()))
    assert cluster.hear(needs()) == []
    assert cluster.tell(ObjectHere(reference())) == [defines(0), gives(0, 1, 0, [[0]], record_of(reference()))]


def test_a_run_that_needs_what_is_on_its_way_waits_for_it():
    cluster = expecting()
    cluster.hear(comes(0))
    assert cluster.hear(needs()) == []
    for number in range(1, PIECES):
        cluster.hear(comes(number))
    given = gives(0, 1, 0, [[0]], record_of(here()))
    assert cluster.tell(ObjectHere(here())) == [defines(0), given, Say(ObjectsHeld((FIRST,)))]


def test_it_may_come_from_another_cluster():
    cluster = expecting()
    door = Door("tcp://10.0.0.2:4000", "k" * 40)
    there = [AskPeer(door, FetchChunks(FIRST, first, STEP)) for first in (0, STEP)]
    assert cluster.hear(ObjectLocated(FIRST, reference().size_bytes, (door,))) == there


# ---- what comes first


def test_what_runs_need_is_asked_for_before_what_is_only_expected():
    cluster = expecting()
    assert cluster.hear(needs(SECOND)) == [Hold(reference(SECOND))]
    assert cluster.tell(ObjectAway(SECOND)) == []
    asked = {STEP - 1: [asks(0, STEP, SECOND)], WINDOW - 1: [asks(STEP, STEP, SECOND)]}
    for number in range(WINDOW):
        assert cluster.hear(comes(number)) == [stores(number, is_first=not number), *asked.get(number, [])], number
    left = PIECES - WINDOW
    later = [command for number in range(STEP) for command in cluster.hear(comes(number, SECOND))[1:]]
    assert later == [asks(WINDOW, left, SECOND), asks(WINDOW, left)]


def test_what_a_run_needs_meanwhile_goes_before_what_was_expected_earlier():
    cluster = expecting()
    also_expects(cluster, SECOND)
    also_expects(cluster, THIRD)
    assert cluster.hear(needs(THIRD)) == []
    asked = [command for number in range(STEP) for command in cluster.hear(comes(number))[1:]]
    assert asked == [asks(0, STEP, THIRD)]


# ---- room


def test_what_has_no_room_is_dropped_and_nobody_fails():
    cluster = expecting()
    cluster.hear(comes(0))
    assert cluster.tell(ObjectRefused(FIRST, FULL)) == DROPPED
    assert cluster.hear(comes(1)) == []
    assert cluster.tell(ObjectRefused(FIRST, FULL)) == []
    fetching(cluster)


def test_what_has_no_room_leaves_its_turn_to_others():
    cluster = expecting()
    also_expects(cluster, SECOND)
    cluster.hear(comes(0))
    asked = [asks(0, STEP, SECOND), asks(STEP, STEP, SECOND)]
    assert cluster.tell(ObjectRefused(FIRST, FULL)) == [*DROPPED, *asked]


def test_what_is_kept_is_not_pushed_out_by_what_is_only_expected():
    cluster = expecting()
    fetched(cluster)
    cluster.hear(expects(reference(SECOND)))
    cluster.tell(ObjectAway(SECOND))
    cluster.hear(comes(0, SECOND))
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [DropObject(SECOND), Say(ObjectsDropped((SECOND,)))]
    assert cluster.hear(needs())[-1] == gives(0, 1, 0, [[0]], record_of(here()))


def test_where_a_run_needs_room_what_is_only_on_its_way_goes():
    cluster = expecting()
    for number in range(STEP):
        cluster.hear(comes(number))
    assert cluster.hear(needs(SECOND)) == [Hold(reference(SECOND))]
    cluster.tell(ObjectAway(SECOND))
    for number in range(STEP, WINDOW):
        cluster.hear(comes(number))
    cluster.hear(comes(0, SECOND))
    asked = [asks(0, STEP, SECOND), asks(STEP, STEP, SECOND)]
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [*DROPPED, *asked]
    assert cluster.hear(comes(WINDOW)) == []


def test_of_what_goes_since_a_run_needs_room_nothing_is_asked_for():
    cluster = expecting()
    also_expects(cluster, THIRD)
    cluster.hear(needs(SECOND))
    cluster.tell(ObjectAway(SECOND))
    for number in range(STEP):
        cluster.hear(comes(number))
    assert cluster.hear(comes(0, SECOND)) == [stores(0, SECOND, is_first=True)]
    assert cluster.tell(ObjectRefused(SECOND, FULL)) == [
        DropObject(FIRST),
        DropObject(THIRD),
        Say(ObjectsDropped((FIRST,))),
        Say(ObjectsDropped((THIRD,))),
        asks(0, STEP, SECOND),
        asks(STEP, STEP, SECOND),
    ]


def test_copies_go_in_the_order_in_which_they_were_used_or_expected_last():
    cluster = ready()
    for n, name in enumerate((FIRST, SECOND), 1):
        cluster.hear(needs(name, n=n))
        cluster.tell(ObjectAway(name))
        for number in range(PIECES):
            cluster.hear(comes(number, name))
        cluster.tell(ObjectHere(here(name)))
        cluster.tell(harvested(0, piece(n, 0, 1), slots=(rests(n, 1),)))
    cluster.hear(expects(reference(FIRST)))
    cluster.hear(needs(THIRD, n=3))
    cluster.tell(ObjectAway(THIRD))
    cluster.hear(comes(0, THIRD))
    told = cluster.tell(ObjectRefused(THIRD, FULL))
    assert told[:3] == [DropObject(SECOND), DropObject(FIRST), Say(ObjectsDropped((SECOND, FIRST)))]


def test_a_run_that_waits_for_room_is_given_what_was_taken_by_what_is_dropped():
    cluster = ready()
    fetching(cluster)
    fetched(cluster)  # it is in use
    wanted(cluster, n=2)
    cluster.tell(ObjectRefused(SECOND, FULL))
    cluster.hear(expects(reference(THIRD)))
    cluster.tell(ObjectAway(THIRD))
    cluster.hear(comes(0, THIRD))
    assert cluster.tell(ObjectRefused(THIRD, FULL)) == [
        DropObject(THIRD),
        Say(ObjectsDropped((THIRD,))),
        asks(0, STEP, SECOND),
        asks(STEP, STEP, SECOND),
    ]


# ---- what is not needed after all


def test_what_nobody_has_any_more_is_forgotten_and_looked_for_anew():
    cluster = expecting()
    cluster.hear(comes(0))
    assert cluster.hear(ObjectsLost((FIRST,))) == DROPPED
    assert cluster.hear(comes(1)) == []
    fetching(cluster)


def test_what_nobody_refers_to_any_more_is_not_fetched_to_its_end():
    cluster = expecting()
    cluster.hear(comes(0))
    assert cluster.hear(FreeObjects((FIRST,))) == DROPPED
    assert cluster.hear(comes(1)) == []


def test_what_nobody_refers_to_before_it_was_found_is_not_fetched():
    cluster = ready()
    cluster.hear(expects(reference()))
    assert cluster.hear(FreeObjects((FIRST,))) == []
    assert cluster.tell(ObjectAway(FIRST)) == []


def test_when_the_run_that_needs_it_is_cancelled_it_is_not_fetched_to_its_end():
    cluster = expecting()
    cluster.hear(needs())
    assert cluster.hear(CancelRun(run_id(1), ranges((0, 1))))[:2] == DROPPED


def test_a_cluster_that_ends_fetches_nothing_more():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.hear(Drain(30.0))
    assert cluster.hear(expects(reference())) == []


# ---- the link


def test_what_has_not_come_over_an_old_link_is_asked_for_on_the_new_one():
    cluster = expecting()
    cluster.hear(comes(0))
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[-2:] == [asks(1, STEP), asks(1 + STEP, STEP)]


def test_a_new_scheduler_is_told_of_what_has_come_and_no_run_needed_yet():
    cluster = expecting()
    fetched(cluster)
    assert cluster.tell(LinkUp(EPOCH, resumed=False))[-1] == Say(ObjectsHeld((FIRST,)))


def test_what_there_is_no_room_for_is_not_fetched_before_it_is_needed():
    cluster = ready()
    cluster.hear(expects(reference()))
    assert cluster.tell(ObjectRefused(FIRST, FULL)) == []
    assert cluster.hear(needs()) == [Hold(reference())]


def test_what_a_run_has_come_for_meanwhile_is_fetched_where_there_was_no_room_for_it():
    cluster = ready()
    cluster.hear(expects(reference()), needs())
    assert cluster.tell(ObjectRefused(FIRST, FULL)) == ASKED
