import pytest

from scaler.core.events import Event, PeerLost, Received, Send
from scaler.core.objects import MAX_OBJECTS, ObjectManager, Sayings
from scaler.errors import ProtocolError
from scaler.ids import Incarnation, ObjectId
from scaler.protocol import (
    ClearClient,
    FreeObjects,
    LocateObject,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    ObjectsMade,
    ReferencesReleased,
    ReferencesTaken,
    ToScheduler,
)
from scaler.protocol.codec import encode
from tests.unit.core.examples import ALICE, BOB, Checked, X, Y, cluster, said

FIRST, SECOND = ObjectId(ALICE, 1), ObjectId(ALICE, 2)


@pytest.fixture
def objects() -> ObjectManager:
    """One that knows two values of Alice's, of which X holds a copy and refers to the first."""
    made = ObjectManager()
    made.made(ALICE, [(FIRST, 100), (SECOND, 50)])
    assert made.held(X, [FIRST]) == []
    assert made.referred(X, [FIRST]) == []
    made.check()
    return made


def test_an_object_is_made_by_its_owner_alone(objects: ObjectManager):
    for name, size in ((FIRST, 100), (ObjectId(BOB, 1), -1)):
        with pytest.raises(ProtocolError, match="not this peer's to make"):
            objects.made(BOB, [(name, size)])


def test_where_an_object_is(objects: ObjectManager):
    assert objects.located(Y, FIRST) == [(Y, ObjectLocated(FIRST, 100, ()))]
    assert objects.located(Y, ObjectId(BOB, 9)) == [(Y, ObjectsLost((ObjectId(BOB, 9),)))]


def test_an_object_lives_while_anybody_refers_to_it(objects: ObjectManager):
    assert objects.released(ALICE, [FIRST, SECOND]) == []
    objects.check()
    assert objects.released(ALICE, [FIRST]) == []
    assert objects.released(X, [FIRST]) == [(ALICE, FreeObjects((FIRST,))), (X, FreeObjects((FIRST,)))]
    objects.check()
    assert len(objects) == 0


def test_of_what_is_gone_a_newcomer_is_told(objects: ObjectManager):
    objects.released(ALICE, [SECOND])
    assert objects.held(Y, [FIRST, SECOND]) == [(Y, FreeObjects((SECOND,)))]
    assert objects.referred(Y, [FIRST, SECOND]) == [(Y, ObjectsLost((SECOND,)))]
    objects.check()


def test_when_the_last_copy_is_dropped_its_owner_and_whoever_refers_to_it_are_told(objects: ObjectManager):
    assert objects.dropped(X, [FIRST, SECOND]) == []
    assert objects.dropped(ALICE, [FIRST]) == [(ALICE, ObjectsLost((FIRST,))), (X, ObjectsLost((FIRST,)))]
    assert objects.dropped(ALICE, [FIRST]) == []
    objects.check()
    assert objects.located(X, FIRST) == [(X, ObjectsLost((FIRST,)))]


def test_a_lost_peer_takes_its_copies_and_references_along(objects: ObjectManager):
    assert objects.lost_peer(X) == []
    objects.check()
    assert objects.referred(Y, [FIRST]) == []
    assert objects.lost_peer(ALICE) == [(Y, ObjectsLost((FIRST,)))]
    objects.check()
    assert len(objects) == 1
    assert objects.lost_peer(Y) == []
    assert len(objects) == 0
    objects.check()


def test_the_last_reference_frees_the_copies_of_others(objects: ObjectManager):
    objects.released(X, [FIRST])
    assert objects.lost_peer(ALICE) == [(X, FreeObjects((FIRST,)))]
    objects.check()


def test_a_peer_that_clears_frees_its_own_and_lets_go_of_what_others_made(objects: ObjectManager):
    other = ObjectId(BOB, 1)
    objects.made(BOB, [(other, 10)])
    assert objects.referred(ALICE, [other]) == objects.held(ALICE, [other]) == []
    assert objects.released(BOB, [other]) == []
    assert objects.cleared(ALICE) == [
        (ALICE, FreeObjects((FIRST, SECOND))),
        (X, FreeObjects((FIRST,))),
        (X, ObjectsLost((FIRST,))),
        (BOB, FreeObjects((other,))),
        (ALICE, FreeObjects((other,))),
    ]
    objects.check()
    assert len(objects) == 0
    assert objects.cleared(ALICE) == objects.lost_peer(ALICE) == objects.released(X, [FIRST]) == []


def test_a_peer_that_clears_takes_nothing_from_others(objects: ObjectManager):
    other = ObjectId(BOB, 1)
    objects.made(BOB, [(other, 10)])
    objects.referred(ALICE, [other])
    objects.cleared(ALICE)
    assert objects.located(X, other) == [(X, ObjectLocated(other, 10, ()))]
    objects.check()


MAKER = Incarnation(2**64 - 1)
MANY = [ObjectId(MAKER, 2**40 + n) for n in range(2 * MAX_OBJECTS + 1)]


@pytest.fixture
def crowd() -> ObjectManager:
    """One that knows more values of one maker's than a message names; X has a copy of each and Y refers to each."""
    made = ObjectManager()
    made.made(MAKER, [(name, 1) for name in MANY])
    assert made.held(X, MANY) == made.referred(Y, MANY) == []
    return made


def check_parts(told: Sayings, peer: Incarnation, kind: type[FreeObjects | ObjectsLost]) -> None:
    """A peer is told of all, in order, in messages that a header holds."""
    messages = [message for to, message in told if to == peer and isinstance(message, kind)]
    assert len(messages) == 3
    assert [name for message in messages for name in message.objects] == MANY
    for message in messages:
        encode(1, 0, message)


def test_what_is_gone_is_told_in_as_many_messages_as_it_takes(objects: ObjectManager):
    check_parts(objects.held(Y, MANY), Y, FreeObjects)
    check_parts(objects.referred(Y, MANY), Y, ObjectsLost)


def test_copies_that_are_gone_are_told_of_in_as_many_messages_as_it_takes(crowd: ObjectManager):
    assert crowd.dropped(MAKER, MANY) == []
    told = crowd.dropped(X, MANY)
    check_parts(told, MAKER, ObjectsLost)
    check_parts(told, Y, ObjectsLost)


def test_what_nobody_refers_to_is_freed_in_as_many_messages_as_it_takes(crowd: ObjectManager):
    assert crowd.released(MAKER, MANY) == []
    told = crowd.released(Y, MANY)
    check_parts(told, MAKER, FreeObjects)
    check_parts(told, X, FreeObjects)


def test_what_is_cleared_is_told_in_as_many_messages_as_it_takes(crowd: ObjectManager):
    told = crowd.cleared(MAKER)
    for peer in (MAKER, X):
        check_parts(told, peer, FreeObjects)
    check_parts(told, Y, ObjectsLost)


# ---- through the core


def says(peer: Incarnation, message: ToScheduler) -> Event:
    return Received(peer, message)


def test_the_core_passes_on_what_is_said_of_objects(core: Checked):
    assert core.handle([says(ALICE, ObjectsMade(((FIRST, 100),))), says(X, ReferencesTaken((FIRST,)))]) == []
    assert core.handle([says(X, ObjectsHeld((FIRST, SECOND)))]) == [Send(X, FreeObjects((SECOND,)))]
    assert core.handle([says(X, LocateObject(FIRST))]) == [Send(X, ObjectLocated(FIRST, 100, ()))]
    assert core.handle([says(ALICE, ObjectsDropped((FIRST,))), says(X, ObjectsDropped((FIRST,)))]) == [
        Send(ALICE, ObjectsLost((FIRST,))),
        Send(X, ObjectsLost((FIRST,))),
    ]
    assert core.handle([says(ALICE, ReferencesReleased((FIRST,))), says(X, ReferencesReleased((FIRST,)))]) == []
    assert len(core.managers.objects) == 0


def test_who_refers_to_an_object_of_a_lost_peer_is_told(core: Checked):
    core.handle([*cluster(Y), says(ALICE, ObjectsMade(((FIRST, 100),))), says(Y, ReferencesTaken((FIRST,)))])
    assert said(core.handle([PeerLost(ALICE)])) == [Send(Y, ObjectsLost((FIRST,)))]


def test_clear_frees_objects_and_their_use_afterwards_is_told_to_be_lost(core: Checked):
    core.handle([says(ALICE, ObjectsMade(((FIRST, 100),))), says(X, ObjectsHeld((FIRST,)))])
    assert core.handle([says(ALICE, ClearClient()), says(X, ReferencesTaken((FIRST,)))]) == [
        Send(ALICE, FreeObjects((FIRST,))),
        Send(X, FreeObjects((FIRST,))),
        Send(X, ObjectsLost((FIRST,))),
    ]
