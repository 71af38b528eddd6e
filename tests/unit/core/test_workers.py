import pytest

from scaler.core import workers
from scaler.core.config import CoreConfig
from scaler.core.lanes import ClassKey, Lane
from scaler.core.runtimes import RunTimes
from scaler.core.spans import NO_NEEDS, Needs
from scaler.core.workers import MOST_TAG_BYTES, Cluster, WorkerManager
from scaler.errors import ProtocolError
from scaler.ids import Incarnation
from scaler.protocol import ClusterReady
from scaler.protocol.options import MAX_INDEX
from tests.unit.core.examples import ALICE, F, G, X, Y, Z

PLAIN = ClassKey(None, (), NO_NEEDS)


def describe(
    manager: WorkerManager,
    peer: Incarnation,
    slots: int = 2,
    tags: tuple[str, ...] = (),
    ends_in_s: float | None = None,
) -> Cluster:
    one = manager.clusters.get(peer) or manager.join(peer, "")
    resources = (("gpu", 0.3), ("licence", 2.0))
    manager.describe(one, ClusterReady("x", "host", 1, slots, slots, tags, resources, ends_in_s), now=10.0)
    manager.refresh()
    manager.check()
    return one


@pytest.fixture
def manager() -> WorkerManager:
    return WorkerManager(CoreConfig())


def test_a_cluster_takes_nothing_before_it_said_what_it_offers(manager: WorkerManager):
    one = manager.join(X, "x")
    assert manager.refresh() == []
    assert (one.free, manager.slots) == (0, 0)
    describe(manager, X)
    assert list(manager.idle) == list(manager.with_room) == [X]
    assert (manager.slots, manager.free_slots) == (2, 2)


def test_clusters_are_idle_in_the_order_in_which_they_became_so(manager: WorkerManager):
    first, second, times = describe(manager, X), describe(manager, Y), RunTimes()
    first.load.change(2, times, 0, ())
    manager.refresh()
    assert list(manager.idle) == [Y]
    first.load.change(-1, times, 0, ())
    assert manager.refresh() == [first]
    assert list(manager.idle) == [Y, X]
    manager.check()
    manager.leave(second)
    assert list(manager.idle) == list(manager.with_room) == [X]
    manager.check()


def test_a_full_cluster_may_take_more_while_its_work_ahead_is_short(manager: WorkerManager):
    one, times = describe(manager, X), RunTimes()
    times.estimate_s = 0.05
    one.load.change(4, times, 0, ())
    assert manager.refresh() == [one]
    assert list(manager.idle) == []
    one.load.change(1, times, 0, ())
    assert manager.refresh() == []
    manager.check()


def test_a_cluster_has_no_room_for_more_bytes_than_its_link_carries(manager: WorkerManager):
    one, times = describe(manager, X), RunTimes()
    one.load.change(1, times, 8 << 20, ())
    assert manager.refresh() == []
    assert list(manager.idle) == [X]


def test_what_is_ahead_of_each_slot_is_sorted_by_octaves_of_milliseconds(manager: WorkerManager):
    one, times = describe(manager, X), RunTimes()
    one.load.change(4, times, 0, ())
    manager.refresh()
    assert [octave for octave, members in enumerate(manager.surplus) if X in members] == [11]
    one.load.change(-1, times, 0, ())
    manager.refresh()
    assert [octave for octave, members in enumerate(manager.surplus) if X in members] == [11]
    one.load.change(96, times, 0, ())
    manager.refresh()
    assert [octave for octave, members in enumerate(manager.surplus) if X in members] == [16]
    manager.leave(one)
    assert not any(manager.surplus)
    manager.check()


def test_a_cluster_that_left_is_not_looked_at(manager: WorkerManager):
    one = describe(manager, X)
    one.load.change(1, RunTimes(), 0, ())
    manager.leave(one)
    assert manager.refresh() == []
    manager.check()


def test_known_tags_grow_and_keep_their_order(manager: WorkerManager):
    assert manager.known_tags is None
    message = ClusterReady("x", "host", 1, 1, 1, ("b", "a"))
    one = manager.join(X, "x")
    assert manager.describe(one, message, 0.0)
    assert not manager.describe(one, message, 0.0)
    other = manager.join(Y, "y")
    assert manager.describe(other, ClusterReady("y", "host", 1, 1, 1, ("c", "a")), 0.0)
    manager.refresh()
    manager.leave(one)
    assert manager.known_tags == ("b", "a", "c")


def test_tags_that_no_header_holds_are_refused_and_change_nothing(manager: WorkerManager):
    tags = tuple("é" * 60 + f"{n:08}" for n in range(MOST_TAG_BYTES // 128))
    one, other = describe(manager, X, tags=tags), describe(manager, Y, slots=3)
    for more in (("t",), (*tags, "t")):
        with pytest.raises(ProtocolError, match="more than 262144 bytes with those of 'x'"):
            describe(manager, Y, slots=5, tags=more)
    assert (manager.known_tags, manager.slots, other.slots, other.tags) == (tags, 5, 3, ())
    assert describe(manager, Y, tags=tags).tags == one.tags == tags


def test_the_longest_walltime_ever_offered_is_known_unless_one_had_no_end(manager: WorkerManager):
    for peer, ends_in_s, longest_s in ((X, 60.0, 60.0), (Y, 20.0, 60.0), (Z, None, None), (X, 90.0, None)):
        describe(manager, peer, ends_in_s=ends_in_s)
        assert manager.longest_offer_s == longest_s


def test_what_a_cluster_offers(manager: WorkerManager):
    one = describe(manager, X, tags=("gpu",), ends_in_s=12.0)
    assert one.offers(PLAIN, 10.0)
    assert one.offers(PLAIN._replace(tag="gpu"), 10.0)
    assert not one.offers(PLAIN._replace(tag="cpu"), 10.0)
    assert one.offers(PLAIN._replace(resources=(("licence", 2.0),)), 10.0)
    assert not one.offers(PLAIN._replace(resources=(("licence", 3.0),)), 10.0)
    assert not one.offers(PLAIN._replace(resources=(("fpga", 1.0),)), 10.0)
    assert one.offers(PLAIN._replace(needs=Needs(alone=False, least_s=9.9)), 10.0)
    assert not one.offers(PLAIN._replace(needs=Needs(alone=False, least_s=10.0)), 10.0)
    assert manager.is_offered(PLAIN, 10.0)
    assert not manager.is_offered(PLAIN._replace(tag="cpu"), 10.0)


def test_resources_are_counted_exactly_also_in_fractions(manager: WorkerManager):
    one, times = describe(manager, X), RunTimes()
    wanted = (("gpu", 0.1), ("licence", 0.5))
    assert one.fitting(wanted) == 3
    one.load.change(2, times, 0, wanted)
    assert one.fitting(wanted) == 1
    one.load.change(1, times, 0, wanted)
    assert one.fitting(wanted) == 0
    one.load.change(-3, times, 0, wanted)
    assert one.fitting(wanted) == 3


def test_a_cluster_that_offers_beyond_measure_fits_many(manager: WorkerManager):
    one = describe(manager, X)
    one.resources["gpu"] = 1e308
    assert one.fitting((("gpu", 1e-6),)) == MAX_INDEX


def test_what_a_cluster_handed_back_is_kept_from_it_for_a_while(manager: WorkerManager):
    one, lane = describe(manager, X), Lane(1, ALICE, 0, PLAIN)
    assert not one.bars(lane, 1.0)
    assert not one.refuses(lane, 1.0)
    one.barred[lane] = one.refused[lane] = 2.0
    assert one.bars(lane, 1.9)
    assert one.refuses(lane, 1.9)
    assert not one.bars(lane, 2.0)
    assert not one.refuses(lane, 2.0)
    assert (one.barred, one.refused) == ({}, {})


def test_a_function_is_new_until_it_was_sent_and_again_when_it_was_forgotten(
    manager: WorkerManager, monkeypatch: pytest.MonkeyPatch
):
    one = describe(manager, X)
    assert [one.is_new_function(F), one.is_new_function(F)] == [True, False]
    one.lacks(F)
    one.lacks(G)
    assert one.is_new_function(F)
    monkeypatch.setattr(workers, "_FUNCTIONS_REMEMBERED", 1)
    assert one.is_new_function(G)
    assert one.is_new_function(F)
