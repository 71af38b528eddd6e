"""What a cluster tells of itself while somebody watches; nothing is measured while nobody does."""

from scaler.ids import WorkerId
from scaler.protocol import ClusterStatistics, Watched
from scaler.worker.agent_events import LinkDown, LinkUp, Measure, Measured, Received, Say, StopAsked
from tests.unit.worker.examples import EPOCH, Cluster, ended, harvested, ready, run_span, runs

WATCHED, UNWATCHED = Received(Watched(watched=True)), Received(Watched(watched=False))
MEASURED = Measured(12.5, 1 << 20, ((WorkerId(0), 100, 99.0, 1 << 21),))


def told(queued: int, running: int) -> Say:
    return Say(ClusterStatistics(12.5, 1 << 20, queued, running, ((0, 100, 99.0, 1 << 21),)))


def measures(cluster: Cluster, at: float) -> bool:
    return Measure() in cluster.tell(at=at)


def test_nothing_is_measured_while_nobody_watches():
    cluster = ready(heartbeat_interval_s=2.0)
    assert not any(measures(cluster, at=seconds) for seconds in range(20))
    assert cluster.deadline() is None


def test_while_somebody_watches_it_is_told_at_once_and_every_heartbeat_interval():
    cluster = ready(heartbeat_interval_s=2.0)
    assert cluster.hear(WATCHED, at=10.0) == [Measure()]
    assert cluster.tell(MEASURED) == [told(0, 0)]
    assert cluster.deadline() == 12.0
    assert cluster.tell(at=11.9) == []
    assert cluster.tell(at=12.0) == [Measure()]
    assert cluster.tell(MEASURED) == [told(0, 0)]
    assert cluster.hear(UNWATCHED, at=13.0) == []
    assert cluster.deadline() is None
    assert not measures(cluster, at=14.0)


def test_what_waits_and_what_runs_is_counted():
    cluster = ready(2, threads=2)
    cluster.hear(run_span(1, 0, 10), run_span(2, 0, 5))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))))
    cluster.hear(WATCHED)
    assert cluster.tell(MEASURED) == [told(13, 2)]


def test_a_cluster_without_a_link_measures_nothing_and_goes_on_when_the_link_does():
    cluster = ready()
    cluster.hear(WATCHED)
    cluster.tell(LinkDown(), at=1.0)
    assert not measures(cluster, at=5.0)
    assert cluster.tell(LinkUp(EPOCH, resumed=True), at=6.0) == [Measure()]


def test_on_a_new_link_it_is_said_anew_whether_anybody_watches():
    cluster = ready()
    cluster.hear(WATCHED)
    cluster.tell(LinkDown(), LinkUp(EPOCH, resumed=False), at=1.0)
    assert not measures(cluster, at=5.0)
    assert Measure() in cluster.hear(WATCHED)


def test_a_link_that_comes_up_while_nobody_watches_has_nothing_measured():
    cluster = ready()
    assert cluster.tell(LinkDown(), LinkUp(EPOCH, resumed=True), at=1.0) == []


def test_a_cluster_that_has_ended_tells_nothing_more():
    cluster = ready()
    cluster.hear(WATCHED)
    cluster.tell(StopAsked(0.0, "SIGTERM"), at=1.0)
    cluster.tell(ended(0, 0), at=1.5)
    assert cluster.tell(MEASURED) == []
    assert cluster.deadline() is None
