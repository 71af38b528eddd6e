"""What is ordered in one turn: only what can still be done when the turn is over."""

from scaler.protocol import CancelRun
from scaler.worker.agent_events import Event, Interrupt, Limit, StopAsked
from tests.unit.worker.examples import SEASON, Cluster, ended, harvested, ranges, run_id, run_span, runs, seasoned

#: the worker as it is seen, in the first task of its ticket
SEEN = runs(SEASON + 1, 0, 0.0)


def busy() -> Cluster:
    """A cluster whose only worker has several tasks in its ticket."""
    cluster = seasoned(run_us=100)
    cluster.hear(run_span(1, 0, 8))
    return cluster


def orders_for_slots(cluster: Cluster, *events: Event) -> list[type]:
    return [type(command) for command in cluster.tell(*events, at=0.2) if isinstance(command, Interrupt | Limit)]


def test_a_worker_that_ends_in_the_turn_is_not_told_to_stop_what_it_runs():
    cluster = busy()
    cluster.hear(CancelRun(run_id(1), ranges((0, 8))), at=0.1)
    told = harvested(0, slots=(SEEN,))
    assert orders_for_slots(cluster, told, ended(0, -11, slots=(SEEN,))) == []


def test_a_worker_that_ends_in_the_turn_in_which_the_cluster_is_stopped_is_not_limited():
    cluster = busy()
    told = (StopAsked(1.0, "SIGTERM"), harvested(0, slots=(SEEN,)))
    assert orders_for_slots(cluster, *told, ended(0, -11, slots=(SEEN,))) == []


def test_a_worker_that_goes_on_is_limited_as_the_cluster_is_stopped():
    told = (StopAsked(1.0, "SIGTERM"), harvested(0, slots=(SEEN,)))
    assert orders_for_slots(busy(), *told) == [Limit]
