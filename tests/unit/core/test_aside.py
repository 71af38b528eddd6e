"""Tasks that no connected cluster could take wait aside, where no turn looks at them until the offers change."""

import pytest

from scaler.core.events import Event, PeerLost
from scaler.core.lanes import ClassKey
from scaler.core.spans import NO_NEEDS
from scaler.core.workers import Cluster
from scaler.ids import BatchId
from scaler.protocol import BatchOptions
from tests.unit.core.examples import (
    ALICE,
    A,
    B,
    Checked,
    X,
    Y,
    appends,
    cancels,
    client,
    cluster,
    finishes,
    function_for,
    maps,
    ready,
    run_id,
    said,
    span_for,
    states,
    values,
)

MANY = 500


def wanting(amount: float, name: str = "gpu") -> BatchOptions:
    return BatchOptions(resources=((name, float(amount)),))


def key(options: BatchOptions) -> ClassKey:
    return ClassKey(options.tag, options.resources, NO_NEEDS)


def batch(n: int) -> BatchId:
    return BatchId(ALICE, n)


def unserved(count: int = MANY) -> list[Event]:
    """So many batches, each of which wants another amount of something."""
    return [event for n in range(1, count + 1) for event in maps(batch(n), 1, wanting(n))]


class Looks:
    """Counts how often it was asked what a cluster offers: once for each class a turn looks at."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        offers = Cluster.offers

        def counted(asked: Cluster, key: ClassKey, now: float) -> bool:
            self.count += 1
            return offers(asked, key, now)

        patch.setattr(Cluster, "offers", counted)


def looks_of(core: Checked, events: list[Event], patch: pytest.MonkeyPatch) -> int:
    with patch.context() as inside:
        looks = Looks(inside)
        super(Checked, core).handle(events, 0.0)
    core.check()
    return looks.count


def test_a_turn_does_not_look_at_what_nobody_can_take(core: Checked, monkeypatch: pytest.MonkeyPatch):
    core.handle(cluster(Y))
    core.handle(unserved())
    assert len(core.managers.tasks.queue.classes) == 0
    served = [
        looks_of(core, maps(B, 2), monkeypatch),
        looks_of(core, [finishes(X, run_id(1), values(0, 1))], monkeypatch),
        looks_of(core, [], monkeypatch),
    ]
    assert max(served) < 10
    assert core.managers.tasks.queue.tasks == MANY


def test_a_class_is_looked_at_once_when_it_comes_and_once_when_the_offers_change(
    core: Checked, monkeypatch: pytest.MonkeyPatch
):
    assert looks_of(core, unserved(), monkeypatch) <= 2 * MANY
    assert looks_of(core, [ready(X, slots=3)], monkeypatch) == 0
    assert looks_of(core, [ready(X, slots=3, resources=(("disk", 1.0),))], monkeypatch) <= 2 * MANY
    assert looks_of(core, [ready(X, slots=3, resources=(("disk", 1.0),))], monkeypatch) == 0


def test_a_cluster_that_offers_it_takes_what_waited_aside(core: Checked):
    core.handle([*maps(A, 2, wanting(2)), *maps(B, 1, wanting(3))])
    assert said(core.handle(cluster(Y, resources=(("gpu", 2.0),)))) == [
        function_for(Y),
        span_for(Y, run_id(1), A, 0, 1, wanting(2)),
    ]
    assert list(core.managers.tasks.queue.classes) == [key(wanting(2))]
    assert list(core.managers.tasks.queue.aside) == [key(wanting(3))]


def test_a_cluster_that_offers_more_than_before_takes_it_too(core: Checked):
    core.handle(maps(A, 1, wanting(2)))
    assert core.handle([ready(X, resources=(("gpu", 1.0),))]) == []
    assert said(core.handle([ready(X, resources=(("gpu", 2.0),))])) == [
        function_for(X),
        span_for(X, run_id(1), A, 0, 1, wanting(2)),
    ]


def test_what_the_last_to_offer_it_leaves_behind_waits_aside(core: Checked):
    core.handle([*cluster(Y, resources=(("gpu", 2.0),)), *maps(A, 3, wanting(2))])
    queue = core.managers.tasks.queue
    assert (len(queue.classes), len(queue.aside)) == (1, 0)
    core.handle([PeerLost(Y, "cut")])
    assert (len(queue.classes), len(queue.aside)) == (0, 1)
    assert states(core) == [(0, 1, "queued"), (1, 3, "queued")]  # the first may have run


def test_what_is_added_to_a_class_that_waits_aside_waits_there_too(core: Checked, monkeypatch: pytest.MonkeyPatch):
    core.handle(maps(A, 1, wanting(2))[:-1])
    assert looks_of(core, [appends(A, 1, 2), *maps(B, 1, wanting(2))], monkeypatch) == 0
    assert core.managers.tasks.queue.aside[key(wanting(2))].tasks == 3


def test_a_class_whose_tasks_are_all_cancelled_is_nowhere_any_more(core: Checked):
    core.handle(maps(A, 2, wanting(2)))
    core.handle([cancels(A, (0, 1))])
    assert list(core.managers.tasks.queue.aside) == [key(wanting(2))]
    core.handle([cancels(A, (1, 2))])
    assert list(core.managers.tasks.queue.aside) == []
    core.handle(maps(B, 1, wanting(2)))
    core.handle([PeerLost(B.owner, "cut")])
    assert list(core.managers.tasks.queue.aside) == []


def test_without_any_cluster_everything_waits_aside(empty: Checked, monkeypatch: pytest.MonkeyPatch):
    empty.handle([client(ALICE), *unserved()])
    assert looks_of(empty, maps(batch(MANY + 1), 1), monkeypatch) == 0
    assert span_for(X, run_id(1), batch(MANY + 1), 0, 1) in empty.handle(cluster(X))
