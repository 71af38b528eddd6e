"""Clusters that fetch an object from each other: a tree, never a circle, and through the scheduler where need be."""

import pytest

from scaler.core.config import CoreConfig
from scaler.core.events import Command, PassMade, PeerJoined, PeerLost, Received, Send
from scaler.core.objects import ObjectManager
from scaler.core.outbox import Outbox
from scaler.core.relays import Relays
from scaler.core.sources import SMALL_RELAYED
from scaler.core.workers import Cluster
from scaler.ids import Incarnation, ObjectId
from scaler.pieces import MOST_PIECES
from scaler.protocol import (
    ClusterReady,
    Door,
    FetchChunks,
    ObjectChunk,
    ObjectLocated,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    ObjectsMade,
    PeerPass,
)
from scaler.protocol.columns import MAX_FRAME_BYTES
from tests.unit.core.examples import ALICE, Checked, X, Y, Z, cut_off, said

SIZE = 100 * MAX_FRAME_BYTES
OBJECT = ObjectId(ALICE, 1)
MANY = [Incarnation(1000 + number) for number in range(12)]
A, B, C, D, E, F, *_ = MANY
KEY = "k" * 40


def door(peer: Incarnation) -> Door:
    return Door(f"tcp://10.0.0.{peer - 1000}:4000", KEY)


class World:
    """Relays with an object of Alice's, and clusters that can all reach each other."""

    def __init__(self) -> None:
        self.objects = ObjectManager()
        self.outbox = Outbox()
        self.outbox.peers = dict.fromkeys((ALICE, *MANY), "worker")
        self.clusters = {peer: Cluster(peer, "", []) for peer in MANY}
        for peer, cluster in self.clusters.items():
            cluster.door = door(peer)
        self.relays = Relays(self.objects, self.outbox, self.clusters)
        self.objects.made(ALICE, [(OBJECT, SIZE)])

    def said(self) -> list[Command]:
        self.relays.check()
        return self.outbox.flush()

    def fetch(self, *peers: Incarnation, name: ObjectId = OBJECT, insists: bool = False) -> list[Command]:
        for peer in peers:
            self.relays.fetch(peer, asks(name, insists=insists))
        return self.said()

    def hold(self, peer: Incarnation) -> None:
        self.relays.held(peer, [OBJECT])
        self.objects.held(peer, [OBJECT])

    def leave(self, peer: Incarnation) -> list[Command]:
        del self.clusters[peer]
        self.objects.lost_peer(peer)
        self.relays.left(peer)
        return self.said()


@pytest.fixture
def world() -> World:
    return World()


def asks(name: ObjectId = OBJECT, *, insists: bool = False) -> FetchChunks:
    return FetchChunks(name, 0, 8, insists)


def relayed(name: ObjectId = OBJECT) -> Command:
    return Send(name.owner, FetchChunks(name, 0, 8))


def sent(peer: Incarnation, to: Incarnation, name: ObjectId = OBJECT, size_bytes: int = SIZE) -> Command:
    return Send(peer, ObjectLocated(name, size_bytes, (door(to),)))


def asked_to_ask_again(peer: Incarnation) -> Command:
    return Send(peer, ObjectLocated(OBJECT, SIZE, ()))


def test_one_is_served_by_the_scheduler_and_the_others_are_a_tree(world: World):
    assert world.fetch(A, B, C, D, E, F) == [
        relayed(),
        sent(B, A),
        sent(C, A),
        sent(D, B),
        sent(E, B),
        sent(F, C),
    ]


def test_who_asks_again_is_told_the_same(world: World):
    world.fetch(A, B, C)
    assert world.fetch(B, C) == [sent(B, A), sent(C, A)]
    assert world.fetch(A) == []


def test_who_cannot_reach_another_is_served_by_the_scheduler(world: World):
    world.fetch(A, B)
    assert world.fetch(B, insists=True) == []
    world.relays.arrived(ALICE, ObjectChunk(OBJECT, 0, SIZE), (b"piece",))
    assert [command.peer for command in world.said() if isinstance(command, Send)] == [A, B]
    # one that asks again without that goes on like this
    assert world.fetch(B) == [Send(ALICE, FetchChunks(OBJECT, 0, 1))]


def test_those_that_have_all_of_it_come_first_and_one_that_is_done_makes_room(world: World):
    world.fetch(A, B, C, D)
    world.hold(B)
    assert world.fetch(E) == [sent(E, B)]
    world.relays.held(D, [OBJECT])
    assert world.fetch(F) == [sent(F, B)]


def test_without_a_door_nobody_is_a_source(world: World):
    world.clusters[A].door = None
    assert world.fetch(A, B, C) == [relayed(), sent(C, B)]


def test_who_fetches_from_one_that_gives_up_asks_again_and_never_in_a_circle(world: World):
    world.fetch(A, B, C, D, E)
    world.relays.dropped(A, [OBJECT])
    assert world.said() == [asked_to_ask_again(B), asked_to_ask_again(C)]
    # D and E fetch from B, so B cannot fetch from them, whoever else there is
    assert world.fetch(B, C) == [sent(C, D)]
    assert world.fetch(A) == [sent(A, D)]
    world.relays.dropped(D, [OBJECT])
    assert world.said() == [asked_to_ask_again(C), asked_to_ask_again(A)]


def test_who_fetches_from_one_that_leaves_asks_again(world: World):
    world.fetch(A, B, C, D)
    assert world.leave(B) == [asked_to_ask_again(D)]
    assert world.fetch(D) == [sent(D, A)]


def test_what_its_owner_has_no_more_is_lost_to_all_who_fetch_it_anywhere(world: World):
    world.fetch(A, B, C)
    world.objects.dropped(ALICE, [OBJECT])
    world.relays.gone([OBJECT], said_by=ALICE)
    assert sorted(command.peer for command in world.said() if isinstance(command, Send)) == [A, B, C]
    assert world.fetch(B) == [Send(B, ObjectsLost((OBJECT,)))]


def test_what_has_one_piece_goes_through_the_scheduler_until_many_want_it(world: World):
    small = ObjectId(ALICE, 2)
    world.objects.made(ALICE, [(small, 70_000)])
    for peer in MANY[:SMALL_RELAYED]:
        world.relays.fetch(peer, FetchChunks(small, 0, 1))
    assert world.said() == [Send(ALICE, FetchChunks(small, 0, 1))]
    world.relays.fetch(MANY[-1], FetchChunks(small, 0, 1))
    assert world.said() == [sent(MANY[-1], A, small, 70_000)]


def test_what_a_cluster_has_made_is_fetched_from_it(world: World):
    made = ObjectId(F, 9)
    world.objects.served(made)
    assert world.fetch(A, B, C, name=made) == [
        Send(F, FetchChunks(made, 0, 0)),  # so that it says when it has that no more
        sent(A, F, made, 1),
        sent(B, F, made, 1),
        sent(C, A, made, 1),
    ]
    # it has that no more
    world.objects.dropped(F, [made])
    world.relays.gone([made], said_by=F)
    assert world.said() == [Send(peer, ObjectsLost((made,))) for peer in (A, B, C)]


@pytest.mark.parametrize("count", [0, MOST_PIECES + 1, 1 << 40])
@pytest.mark.parametrize("peer", [ALICE, X])
def test_who_asks_for_nothing_or_for_too_much_at_a_time_is_cut_off(peer: Incarnation, count: int):
    core = Checked(CoreConfig())
    core.handle([PeerJoined(ALICE, "client")])
    joined(core, X, "10.0.0.7:1")
    joined(core, Y, "10.0.0.8:1")
    made = ObjectId(Y, 9)
    assert cut_off(core.handle([Received(peer, FetchChunks(made, 0, count))])) == [peer]
    assert len(core.managers.objects) == 0


def test_clients_fetch_through_the_scheduler(world: World):
    made = ObjectId(F, 9)
    world.objects.served(made)
    world.outbox.peers[ALICE] = "client"
    assert world.fetch(ALICE, name=made) == [relayed(made)]


def ready(port: int, key: str = KEY) -> ClusterReady:
    return ClusterReady("c", "host", 1, 1, 1, full_slots=1, port=port, key=key)


def joined(core: Checked, peer: Incarnation, address: str, port: int = 4000, key: str = KEY) -> list[Command]:
    return core.handle([PeerJoined(peer, "worker", address=address), Received(peer, ready(port, key))])


def test_the_core_tells_clusters_of_each_other_by_the_host_they_have_called_from():
    core = Checked(CoreConfig())
    core.handle([PassMade("public", "secret"), PeerJoined(ALICE, "client")])
    core.handle([Received(ALICE, ObjectsMade(((OBJECT, SIZE),)))])
    assert Send(X, PeerPass("public", "secret")) in joined(core, X, "10.0.0.7:5312")
    joined(core, Y, "[fd00::7]:5312")
    assert said(core.handle([Received(X, asks())])) == [relayed()]
    there = Door("tcp://10.0.0.7:4000", KEY)
    assert said(core.handle([Received(Y, asks())])) == [Send(Y, ObjectLocated(OBJECT, SIZE, (there,)))]
    core.handle([Received(X, ObjectsHeld((OBJECT,))), Received(Y, ObjectsHeld((OBJECT,)))])
    core.handle([Received(X, ObjectsDropped((OBJECT,)))])
    there = Door("tcp://[fd00::7]:4000", KEY)
    assert said(core.handle([Received(X, asks())])) == [Send(X, ObjectLocated(OBJECT, SIZE, (there,)))]
    assert said(core.handle([PeerLost(Y)])) == [Send(X, ObjectLocated(OBJECT, SIZE, ()))]


@pytest.mark.parametrize(
    ("address", "port", "key"),
    [
        ("127.0.0.1:5312", 4000, KEY),
        ("[::1]:5312", 4000, KEY),
        ("a process of this machine", 4000, KEY),
        ("unknown", 4000, KEY),
        ("", 4000, KEY),
        ("10.0.0.7:5312", 0, KEY),
        ("10.0.0.7:5312", 4000, ""),
    ],
)
def test_a_cluster_that_others_cannot_call_serves_nobody(address: str, port: int, key: str):
    core = Checked(CoreConfig())
    core.handle([PeerJoined(ALICE, "client"), Received(ALICE, ObjectsMade(((OBJECT, SIZE),)))])
    joined(core, X, address, port, key)
    joined(core, Y, "10.0.0.8:1")
    assert said(core.handle([Received(X, asks()), Received(Y, asks())])) == [relayed()]


def test_a_new_pass_goes_to_all_clusters():
    core = Checked(CoreConfig())
    core.handle([PeerJoined(X, "worker"), PeerJoined(Y, "worker"), PeerJoined(ALICE, "client")])
    told = said(core.handle([PassMade("other", "secret")]))
    assert told == [Send(peer, PeerPass("other", "secret")) for peer in (X, Y)]
    assert Send(Z, PeerPass("other", "secret")) in core.handle([PeerJoined(Z, "worker")])
