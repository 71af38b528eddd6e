"""Pieces of objects through the scheduler: asked for once, passed on to all who wait, and never waited for in vain."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import Command, PeerJoined, PeerLost, Received, Send
from scaler.core.objects import ObjectManager
from scaler.core.outbox import Outbox
from scaler.core.relays import MOST_WAITED_FOR, Relays
from scaler.errors import ProtocolError
from scaler.ids import ObjectId
from scaler.pieces import MOST_PIECE_FRAMES
from scaler.protocol import FetchChunks, ObjectChunk, ObjectLocated, ObjectsDropped, ObjectsLost, ObjectsMade, Resumed
from scaler.protocol.columns import MAX_FRAME_BYTES
from tests.unit.core.examples import ALICE, BOB, Checked, X, Y, Z, cut_off, said

SIZE = 5000 * MAX_FRAME_BYTES
FIRST, SECOND = ObjectId(ALICE, 1), ObjectId(ALICE, 2)
DATA = (b"piece",)


class World:
    """Relays with two objects of Alice's, all of whose peers are here."""

    def __init__(self) -> None:
        self.objects = ObjectManager()
        self.outbox = Outbox()
        self.outbox.peers = dict.fromkeys((ALICE, BOB, X, Y, Z), "worker")
        self.relays = Relays(self.objects, self.outbox, {})
        self.objects.made(ALICE, [(FIRST, SIZE), (SECOND, SIZE - 1)])

    def said(self) -> list[Command]:
        self.relays.check()
        return self.outbox.flush()


@pytest.fixture
def world() -> World:
    return World()


def asks(first: int, count: int, name: ObjectId = FIRST) -> FetchChunks:
    return FetchChunks(name, first, count)


def chunk(n: int, name: ObjectId = FIRST) -> ObjectChunk:
    return ObjectChunk(name, n, SIZE)


def test_a_piece_goes_to_who_asked_for_it(world: World):
    world.relays.fetch(X, asks(0, 2))
    assert world.said() == [Send(ALICE, asks(0, 2))]
    world.relays.arrived(ALICE, chunk(0), DATA)
    assert world.said() == [Send(X, chunk(0), DATA)]
    world.relays.arrived(ALICE, chunk(0), DATA)
    assert world.said() == []
    world.relays.arrived(ALICE, chunk(1), DATA)
    world.relays.arrived(ALICE, chunk(2), DATA)
    assert world.said() == [Send(X, chunk(1), DATA)]


def test_what_several_want_is_asked_for_once(world: World):
    world.relays.fetch(X, asks(0, 4))
    world.relays.fetch(Y, asks(2, 4))
    world.relays.fetch(Z, asks(1, 1))
    assert world.said() == [Send(ALICE, asks(0, 4)), Send(ALICE, asks(4, 2))]
    world.relays.arrived(ALICE, chunk(2), DATA)
    assert world.said() == [Send(X, chunk(2), DATA), Send(Y, chunk(2), DATA)]
    world.relays.arrived(ALICE, chunk(1), DATA)
    assert world.said() == [Send(X, chunk(1), DATA), Send(Z, chunk(1), DATA)]


def test_of_what_nobody_has_it_is_told_at_once(world: World):
    nothing = ObjectId(BOB, 1)
    world.relays.fetch(X, asks(0, 1, nothing))
    assert world.said() == [Send(X, ObjectsLost((nothing,)))]


def test_what_its_owner_has_no_more_is_told_to_all_who_wait(world: World):
    world.objects.held(Z, [FIRST])
    world.relays.fetch(X, asks(0, 2))
    world.relays.fetch(Y, asks(1, 1))
    world.relays.fetch(Y, asks(0, 1, SECOND))
    world.said()
    world.relays.gone([FIRST])
    assert world.said() == []
    world.objects.dropped(ALICE, [FIRST])
    world.relays.gone([FIRST])
    assert world.said() == [Send(X, ObjectsLost((FIRST,))), Send(Y, ObjectsLost((FIRST,)))]
    world.relays.arrived(ALICE, chunk(0, SECOND), DATA)
    assert world.said() == [Send(Y, chunk(0, SECOND), DATA)]


def test_what_an_owner_lets_go_of_or_takes_along_is_told_to_all_who_wait(world: World):
    world.relays.fetch(X, asks(0, 2))
    world.relays.fetch(Y, asks(0, 2, SECOND))
    world.said()
    world.objects.cleared(ALICE)
    world.relays.cleared(BOB)
    world.relays.cleared(ALICE)
    assert world.said() == [Send(X, ObjectsLost((FIRST,))), Send(Y, ObjectsLost((SECOND,)))]
    world.objects.made(ALICE, [(FIRST, SIZE)])
    world.relays.fetch(X, asks(0, 2))
    world.said()
    world.relays.left(ALICE)
    assert world.said() == [Send(X, ObjectsLost((FIRST,)))]


def test_who_has_left_waits_for_nothing(world: World):
    world.relays.fetch(X, asks(0, 2))
    world.relays.fetch(Y, asks(1, 1))
    world.said()
    world.relays.left(X)
    world.relays.arrived(ALICE, chunk(0), DATA)
    assert world.said() == []
    world.relays.arrived(ALICE, chunk(1), DATA)
    assert world.said() == [Send(Y, chunk(1), DATA)]


def test_pieces_of_another_are_nobodys(world: World):
    world.relays.fetch(X, asks(0, 1))
    world.said()
    world.relays.arrived(BOB, chunk(0), DATA)
    world.relays.arrived(ALICE, chunk(0, SECOND), DATA)
    assert world.said() == []


def test_of_pieces_that_there_are_not_it_is_told_that_there_is_no_such_object(world: World):
    for wanted in (asks(4999, 2), asks(5000, 1), asks(1 << 60, 1)):
        world.relays.fetch(X, wanted)
        assert world.said() == [Send(X, ObjectsLost((FIRST,)))]
    world.relays.fetch(X, asks(0, 0))
    assert world.said() == []


def test_the_rules(world: World):
    world.relays.fetch(X, asks(99, 1))
    with pytest.raises(ProtocolError, match="waits for more than"):
        world.relays.fetch(X, asks(0, MOST_WAITED_FOR))
    for frames in ((), (b"a",) * (MOST_PIECE_FRAMES + 1), (bytes(MAX_FRAME_BYTES), b"a")):
        with pytest.raises(ProtocolError, match="a piece of an object came in"):
            world.relays.arrived(ALICE, chunk(99), frames)


def test_who_wants_what_its_owner_has_not_told_of_yet_hears_when_it_does(world: World):
    third, fourth = ObjectId(ALICE, 3), ObjectId(BOB, 1)
    for peer, name in ((X, third), (Y, third), (X, fourth)):
        world.relays.fetch(peer, asks(0, 2, name), may_come=True)
        assert world.said() == [Send(peer, ObjectLocated(name, 0, ()))]
    world.objects.made(ALICE, [(third, SIZE)])
    world.relays.made([FIRST, third])
    assert world.said() == [Send(X, ObjectLocated(third, SIZE, ())), Send(Y, ObjectLocated(third, SIZE, ()))]
    world.relays.come_no_more(lambda owner: owner == BOB)
    assert world.said() == []
    world.relays.come_no_more(lambda _: False)
    assert world.said() == [Send(X, ObjectsLost((fourth,)))]


def test_an_owner_that_leaves_before_it_has_told_of_anything_has_nothing(world: World):
    third = ObjectId(ALICE, 3)
    for peer in (X, Y):
        world.relays.fetch(peer, asks(0, 2, third), may_come=True)
    world.said()
    world.relays.left(BOB)
    world.relays.left(X)
    assert world.said() == []
    world.relays.left(ALICE)
    assert world.said() == [Send(Y, ObjectsLost((third,)))]


# ---- through the core


def test_pieces_that_are_asked_of_a_new_scheduler_wait_until_their_owner_is_back():
    core = Checked(CoreConfig(client_timeout_s=60.0))
    core.handle([PeerJoined(X, "worker", "x")])
    assert said(core.handle([Received(X, asks(0, 1))], now=1.0)) == [Send(X, ObjectLocated(FIRST, 0, ()))]
    core.handle([PeerJoined(ALICE, "client", "alice")], now=2.0)
    assert said(core.handle([Received(X, asks(0, 1, SECOND))], now=2.0)) == [Send(X, ObjectLocated(SECOND, 0, ()))]
    told = said(core.handle([Received(ALICE, ObjectsMade(((FIRST, SIZE),))), Received(ALICE, Resumed())], now=2.0))
    assert told == [Send(X, ObjectLocated(FIRST, SIZE, ())), Send(X, ObjectsLost((SECOND,)))]


def test_an_owner_that_does_not_come_back_to_a_new_scheduler_is_not_waited_for_for_ever():
    core = Checked(CoreConfig(client_timeout_s=60.0))
    core.handle([PeerJoined(X, "worker", "x")])
    core.handle([Received(X, asks(0, 1))], now=1.0)
    due = core.next_deadline()
    while due is not None and due < 60.0:
        assert said(core.handle([], now=due)) == []
        due = core.next_deadline()
    assert said(core.handle([], now=60.0)) == [Send(X, ObjectsLost((FIRST,)))]
    assert said(core.handle([Received(X, asks(0, 1))], now=61.0)) == [Send(X, ObjectsLost((FIRST,)))]


def test_the_core_passes_pieces_on_and_tells_who_waits_of_what_is_lost(core: Checked):
    core.handle([Received(ALICE, ObjectsMade(((FIRST, SIZE), (SECOND, SIZE))))])
    assert said(core.handle([Received(X, asks(0, 2)), Received(X, asks(5, 1, SECOND))])) == [
        Send(ALICE, asks(0, 2)),
        Send(ALICE, asks(5, 1, SECOND)),
    ]
    assert said(core.handle([Received(ALICE, chunk(1), DATA)])) == [Send(X, chunk(1), DATA)]
    assert said(core.handle([Received(ALICE, ObjectsDropped((SECOND,)))])) == [
        Send(ALICE, ObjectsLost((SECOND,))),
        Send(X, ObjectsLost((SECOND,))),
    ]
    assert said(core.handle([PeerLost(ALICE)])) == [Send(X, ObjectsLost((FIRST,)))]


def test_a_client_has_no_pieces_of_others(core: Checked):
    core.handle([Received(ALICE, ObjectsMade(((FIRST, SIZE),)))])
    assert cut_off(core.handle([Received(BOB, asks(0, 1))])) == [BOB]


def test_who_asks_for_too_much_is_cut_off(core: Checked):
    core.handle([Received(ALICE, ObjectsMade(((FIRST, SIZE),)))])
    assert cut_off(core.handle([Received(X, asks(0, MOST_WAITED_FOR + 1))])) == [X]
