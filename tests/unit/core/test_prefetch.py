"""What busy clusters are told to fetch, and who then takes the tasks that they were told of."""

import pytest

from scaler.core import prefetch
from scaler.core.events import Command, Event, PeerLost, Received, Send
from scaler.core.spans import NO_COUNTS
from scaler.ids import BatchId, Incarnation, ObjectId
from scaler.protocol import BatchOptions, NeedInputs, PrefetchObjects, ReturnReason, RunSpan
from scaler.protocol.columns import REFERENCE, VALUE
from scaler.protocol.inputs import Dependencies, input_frames
from scaler.protocol.references import Reference, record_of
from tests.unit.core.dependencies import is_clean, known, needing, span_with, task
from tests.unit.core.examples import (
    A2,
    ALICE,
    BOB,
    PLAIN,
    A,
    B,
    Checked,
    X,
    Y,
    Z,
    appends,
    begins,
    cancelled_for,
    cancels,
    client,
    closes,
    cluster,
    defines,
    finishes,
    function_for,
    knows,
    maps,
    opens,
    ready,
    results_for,
    returns,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)
from tests.unit.core.work import calls_of

GPU = BatchOptions(tag="gpu")
URGENT = BatchOptions(priority=1)
#: what objects of a client's own are named: as if a batch 0 had come to them
OWN = BatchId(ALICE, 0)
PREFETCH = PrefetchObjects()


def record(number: int, owner: Incarnation = ALICE) -> bytes:
    """What stands for an object that lies with its client."""
    return record_of(Reference(ObjectId(owner, number), 3 << 20, f"/{owner}/{number}", b"token"))


def there(number: int, owner: Incarnation = ALICE) -> Received:
    """A client says where one of its objects lies."""
    return known(task(BatchId(owner, 0), number), REFERENCE, record(number, owner))


def works(batch: BatchId, lo: int, hi: int, options: BatchOptions = PLAIN) -> list[Event]:
    """A batch of calls, each of which needs an object of its own, with the same number."""
    own = BatchId(batch.owner, 0)
    needs = {index: (task(own, index),) for index in range(lo, hi)}
    there_are = [there(index, batch.owner) for index in range(lo, hi)]
    return [defines(peer=batch.owner), opens(batch, options), appends(batch, lo, hi, needs), *there_are]


def shares(batch: BatchId, lo: int, hi: int) -> list[Event]:
    """A batch of calls that all need the first object."""
    return [defines(), *needing(batch, {index: (task(OWN, 1),) for index in range(lo, hi)}, lo, hi), there(1)]


def tells(peer: Incarnation, *numbers: int, owner: Incarnation = ALICE) -> Command:
    """A cluster is told of these objects."""
    frames = input_frames([list(range(len(numbers)))], [(record(number, owner),) for number in numbers])
    return Send(peer, PREFETCH, frames)


def gives(peer: Incarnation, run: int, index: int, batch: BatchId = A) -> Command:
    return span_with(peer, run_id(run), batch, index, [[0]], record(index, batch.owner))


def done(peer: Incarnation, run: int, index: int) -> Received:
    return finishes(peer, run_id(run), values(index, index + 1))


def results(index: int, batch: BatchId = A) -> Command:
    return results_for(batch, values(index, index + 1))


def told(commands: list[Command]) -> list[Incarnation]:
    """Who was told of objects."""
    return [one.peer for one in commands if isinstance(one, Send) and isinstance(one.message, PrefetchObjects)]


def given(commands: list[Command]) -> list[tuple[Incarnation, int, int]]:
    """Who was sent which tasks."""
    sent = [one for one in commands if isinstance(one, Send) and isinstance(one.message, RunSpan)]
    return [(one.peer, one.message.lo, one.message.hi) for one in sent if isinstance(one.message, RunSpan)]


@pytest.fixture
def fed(empty: Checked) -> Checked:
    """X and Y run one task each, and are told of another; ten are to come."""
    empty.handle([client(ALICE), client(BOB), *cluster(X, 1), *cluster(Y, 1)])
    commands = empty.handle(works(A, 0, 14))
    assert commands[1:] == [
        function_for(X),
        gives(X, 1, 0),
        function_for(Y),
        gives(Y, 2, 1),
        tells(X, 2),
        tells(Y, 3),
    ]
    return empty


# ---- who is told of what


def test_a_busy_cluster_is_told_of_one_task_more_for_each_slot_and_told_once(core: Checked):
    assert core.handle(works(A, 0, 8)) == [
        Send(ALICE, NeedInputs(tuple(task(OWN, index) for index in range(8)))),
        function_for(X),
        gives(X, 1, 0),
        gives(X, 2, 1),
        tells(X, 2, 3),
    ]
    assert core.handle([]) == []
    assert core.handle([begins(X, (run_id(1), 0), (run_id(2), 1))]) == []
    assert states(core) == [(0, 1, "running"), (1, 2, "running"), (2, 8, "queued")]


@pytest.mark.parametrize(
    ("run_us", "sent", "expected"), [(1_000_000, 2, (2, 3)), (82_000, 3, (3,)), (81_000, 4, ()), (10, 9, ())]
)
def test_of_what_takes_less_than_half_the_lookahead_enough_is_sent_ahead(
    core: Checked, run_us: int, sent: int, expected: tuple[int, ...]
):
    knows(core, run_us)
    commands = core.handle(works(A, 0, 9))
    assert sum(hi - lo for _, lo, hi in given(commands)) == sent
    assert commands[2 + sent :] == ([tells(X, *expected)] if expected else [])


def test_of_values_that_go_with_the_calls_nothing_is_told(core: Checked):
    needs = {index: (task(OWN, index),) for index in range(4)}
    inputs = [known(task(OWN, index), VALUE, b"v") for index in range(4)]
    assert told(core.handle([defines(), *needing(A, needs, 0, 4), *inputs])) == []


def test_of_values_that_go_with_the_calls_nothing_is_told_while_others_use_objects(core: Checked):
    core.handle(works(B, 0, 2))
    needs = {index: (task(OWN, index),) for index in range(4)}
    inputs = [known(task(OWN, index), VALUE, b"v") for index in range(4)]
    assert told(core.handle([defines(), *needing(A, needs, 0, 4), *inputs])) == []
    assert told(core.handle([done(X, 1, 0)])) == []


def test_tasks_that_need_no_object_are_passed_over_in_what_is_told(core: Checked):
    needs: Dependencies = {0: (task(OWN, 0),), 1: (task(OWN, 1),), 2: (task(OWN, 2), task(OWN, 9)), 4: (task(OWN, 4),)}
    inputs = [*map(there, (0, 1, 2, 4)), known(task(OWN, 9), VALUE, b"v")]
    commands = core.handle([defines(), *needing(A, needs, 0, 6), *inputs])
    assert commands[-1] == tells(X, 2, 4)
    assert given(core.handle([done(X, 1, 0), done(X, 2, 1)])) == [(X, 2, 3), (X, 4, 5)]


def test_an_object_that_several_tasks_need_is_told_of_once_each_time(core: Checked):
    commands = core.handle(shares(A, 0, 6))
    assert given(commands) == [(X, 0, 2)]
    assert commands[-1] == tells(X, 1)
    both = finishes(X, run_id(1), values(0, 2))
    commands = core.handle([both])
    # both tasks that it was told of go together
    assert given(commands) == [(X, 2, 4)]
    assert commands[-1] == tells(X, 1)


def test_only_so_many_objects_are_told_of_at_a_time(core: Checked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prefetch, "MOST_OBJECTS", 3)
    needs = {index: (task(OWN, 2 * index), task(OWN, 2 * index + 1)) for index in range(6)}
    commands = core.handle([defines(), *needing(A, needs, 0, 6), *map(there, range(12))])
    assert commands[-1] == tells(X, 4, 5, 6)
    assert core.handle([done(X, 1, 0)])[-1] == tells(X, 8, 9)


def test_only_so_many_clusters_are_looked_at_in_a_turn_and_the_others_in_the_next(
    empty: Checked, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prefetch, "MOST_CLUSTERS", 1)
    empty.handle([client(ALICE), *cluster(X, 1), *cluster(Y, 1), *cluster(Z, 1)])
    assert empty.handle(works(A, 0, 7))[-1] == tells(X, 3)
    assert empty.handle([]) == [tells(Y, 4)]
    assert empty.handle([]) == [tells(Z, 5)]
    assert empty.handle([]) == []


def test_clusters_that_found_nothing_are_asked_after_the_others(empty: Checked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prefetch, "MOST_CLUSTERS", 1)
    empty.handle([client(ALICE), *cluster(X, 1), *cluster(Y, 1, tags=("gpu",))])
    empty.handle([*maps(A2, 2)])
    assert told(empty.handle(works(A, 0, 2, GPU))) == []
    assert empty.handle([]) == [tells(Y, 0)]


@pytest.mark.parametrize("limit", ["MOST_LANES", "MOST_CLASSES"])
def test_only_so_much_of_the_queue_is_looked_at_in_a_turn(core: Checked, monkeypatch: pytest.MonkeyPatch, limit: str):
    monkeypatch.setattr(prefetch, limit, 1)
    core.handle([*maps(A2, 2)])
    more = PLAIN if limit == "MOST_LANES" else BatchOptions(resources=(("licence", 1.0),))
    core.handle([ready(X, resources=(("licence", 5.0),))])
    commands = core.handle([*works(A, 0, 1), *works(BatchId(ALICE, 3), 0, 1, more)])
    assert commands[-1] == tells(X, 0)
    assert told(commands) == [X]


def test_a_cluster_that_does_not_offer_the_class_is_not_told(empty: Checked):
    empty.handle([client(ALICE), client(BOB), *cluster(X, 1), *cluster(Y, 1, tags=("gpu",))])
    empty.handle(maps(A2, 2))
    assert told(empty.handle(works(A, 0, 4, GPU))) == [Y]
    assert told(empty.handle([done(Y, 2, 1)])) == [Y]


def test_a_cluster_without_slots_is_not_told(core: Checked):
    core.handle(maps(A2, 2))
    core.handle([ready(X, slots=0)])
    assert told(core.handle(works(A, 0, 4))) == []
    assert told(core.handle([ready(X)])) == [X]


def test_nobody_is_told_of_what_has_to_be_alone(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 1)])
    empty.handle(works(A, 0, 1))
    empty.handle([begins(X, (run_id(1), 0))])
    empty.handle([*cluster(Y, 1), *cluster(Z, 1), *maps(A2, 2)])
    # the loss of its host under it is charged to it
    commands = empty.handle([PeerLost(X, "cut")])
    assert states(empty) == [(0, 1, "queued")]
    assert (told(commands), told(empty.handle([]))) == ([], [])


def test_nobody_is_told_of_what_every_worker_calls(core: Checked):
    core.handle(maps(A2, 2))
    assert told(core.handle(works(A, 0, 2, BatchOptions(everywhere=True)))) == []
    assert states(core) == [(0, 2, "queued")]


# ---- who takes what


def test_a_cluster_takes_what_it_was_told_of_and_not_what_another_was(fed: Checked):
    assert fed.handle([done(Y, 2, 1)]) == [results(1), gives(Y, 3, 3), tells(Y, 4)]
    assert fed.handle([done(X, 1, 0)]) == [results(0), gives(X, 4, 2), tells(X, 5)]
    assert fed.handle([done(X, 4, 2)]) == [results(2), gives(X, 5, 5), tells(X, 6)]
    assert fed.handle([done(Y, 3, 3)]) == [results(3), gives(Y, 6, 4), tells(Y, 7)]


def test_a_cluster_that_was_told_of_nothing_takes_what_nobody_was_told_of(fed: Checked):
    assert said(fed.handle(cluster(Z, 1))) == [function_for(Z), gives(Z, 3, 4), tells(Z, 5)]
    assert fed.handle([done(Y, 2, 1)]) == [results(1), gives(Y, 4, 3), tells(Y, 6)]


def test_what_others_were_told_of_is_taken_when_nothing_else_is_left(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 1), *cluster(Y, 1)])
    empty.handle(works(A, 0, 4))
    assert said(empty.handle(cluster(Z, 2))) == [function_for(Z), gives(Z, 3, 2), gives(Z, 4, 3)]
    assert empty.handle([done(X, 1, 0), done(Y, 2, 1)]) == [results(0), results(1)]
    # and what X and Y expected is forgotten once others come
    assert empty.handle([*works(A2, 0, 6)])[1:] == [
        gives(X, 5, 0, A2),
        gives(Y, 6, 1, A2),
        tells(Z, 2, 3),
        tells(X, 4),
        tells(Y, 5),
    ]


def test_what_has_been_overtaken_by_twice_as_many_as_there_are_slots_is_taken_by_whoever_comes(fed: Checked):
    assert fed.handle([done(Y, 2, 1)]) == [results(1), gives(Y, 3, 3), tells(Y, 4)]
    assert fed.handle([done(Y, 3, 3)]) == [results(3), gives(Y, 4, 4), tells(Y, 5)]
    assert fed.handle([done(Y, 4, 4)]) == [results(4), gives(Y, 5, 5), tells(Y, 6)]
    assert fed.handle([done(Y, 5, 5)]) == [results(5), gives(Y, 6, 6), tells(Y, 7)]
    assert fed.handle([done(Y, 6, 6)]) == [results(6), gives(Y, 7, 2)]
    # X was told of that, and has another now; what Y was told of is left to it
    assert fed.handle([done(X, 1, 0)]) == [results(0), gives(X, 8, 8), tells(X, 9)]
    assert fed.handle([done(Y, 7, 2)]) == [results(2), gives(Y, 9, 7), tells(Y, 10)]


def test_a_more_urgent_batch_goes_first_whatever_was_told(fed: Checked):
    urgent = [opens(A2, URGENT), appends(A2, 0, 2)]
    assert fed.handle(urgent) == []
    assert fed.handle([done(X, 1, 0)]) == [results(0), span_for(X, run_id(3), A2, 0, 1, URGENT)]
    assert fed.handle([done(Y, 2, 1)]) == [results(1), span_for(Y, run_id(4), A2, 1, 2, URGENT)]
    over = finishes(X, run_id(3), values(0, 1))
    assert fed.handle([over]) == [results(0, A2), gives(X, 5, 2), tells(X, 4)]


# ---- what comes in between


def test_what_a_cluster_ran_and_was_told_of_that_leaves_is_taken_by_others(fed: Checked):
    fed.handle([PeerLost(X, "cut")])
    order, run, index = [], 2, 1
    while (commands := fed.handle([done(Y, run, index)])) and (taken := given(commands)):
        order.append(taken)
        run, index = run + 1, taken[0][1]
    assert order == [[(Y, index, index + 1)] for index in (3, 0, 2, *range(4, 14))]
    assert {state for *_, state in states(fed)} == {"done"}


def test_a_cluster_takes_others_when_what_it_was_told_of_is_cancelled(core: Checked):
    core.handle(works(A, 0, 8))
    assert core.handle([cancels(A, (2, 4))])[0] == cancelled_for(A, (2, 4))
    assert core.handle([done(X, 1, 0)])[:2] == [results(0), gives(X, 3, 4)]


def test_what_was_told_of_a_batch_that_is_over_is_forgotten(core: Checked):
    core.handle([*works(A, 0, 8), closes(A, 8)])
    core.handle([PeerLost(ALICE, "gone")])
    assert is_clean(core)
    finished = [done(X, 1, 0), done(X, 2, 1)]
    commands = core.handle([*works(B, 0, 6), *finished])
    assert given(commands) == [(X, 0, 1), (X, 1, 2)]
    assert tells(X, 2, 3, owner=BOB) in commands


def test_what_was_told_and_has_ended_elsewhere_and_been_taken_is_forgotten(fed: Checked):
    for run, index in ((2, 1), (3, 3), (4, 4), (5, 5), (6, 6), (7, 2)):
        fed.handle([done(Y, run, index)])
    fed.handle([takes(A, (1, 7))])
    assert fed.handle([done(X, 1, 0)]) == [results(0), gives(X, 9, 9), tells(X, 10)]


def test_what_comes_back_is_told_of_next(core: Checked):
    core.handle(works(A, 0, 10))
    assert core.handle([returns(X, run_id(1), (0, 1))]) == [gives(X, 3, 2), tells(X, 0)]
    assert core.handle([done(X, 3, 2)]) == [results(2), gives(X, 4, 3), tells(X, 4)]
    assert core.handle([done(X, 4, 3)]) == [results(3), gives(X, 5, 0), tells(X, 5)]


def test_what_comes_back_in_need_of_more_time_is_not_taken_for_what_was_told(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 1, ends_in_s=100.0), *cluster(Y, 1, ends_in_s=1e6)])
    empty.handle(works(A, 0, 14))
    for run, index in ((2, 1), (3, 3), (4, 4), (5, 5), (6, 6)):
        empty.handle([done(Y, run, index)])
    # Y has what X was told of, and gives it back after a while, for which X is not there long enough
    empty.handle([begins(Y, (run_id(7), 2))])
    expired = returns(Y, run_id(7), (2, 3), reason=ReturnReason.EXPIRED)
    assert given(empty.handle([expired], 50.0)) == [(Y, 7, 8)]
    assert given(empty.handle([done(X, 1, 0)], 50.0)) == [(X, 9, 10)]
    assert given(empty.handle([done(Y, 8, 7)], 50.0)) == [(Y, 2, 3)]


def test_nobody_is_told_of_what_the_spans_do_not_know(core: Checked):
    core.handle(works(A, 0, 3))
    core.managers.tasks.batches[A].lane_of(NO_COUNTS).put(9, 1)
    prefetch.Prefetch(core.managers).look_ahead(0.0, has_new=False, has_changed=True)
    assert core.managers.outbox.flush() == []


# ---- how much is looked at


def test_a_turn_in_which_nothing_has_changed_looks_at_nothing(empty: Checked):
    tags = tuple(f"t{number}" for number in range(8))
    others = [one for number in range(30) for one in cluster(Incarnation(100 + number), 4)]
    empty.handle([client(ALICE), client(BOB), *cluster(X, 1, tags=tags), *others, *maps(B, 121)])
    for number, tag in enumerate(tags):
        empty.handle([defines(), *works(BatchId(ALICE, 2 + number), 0, 20, BatchOptions(tag=tag))][1:])
    for _ in range(5):
        empty.handle([])
    assert calls_of(empty, []) < 40


def test_lanes_that_have_emptied_cost_no_turn_anything(core: Checked):
    core.handle([*maps(B, 2), *works(A, 0, 3)])
    batches = [BatchId(ALICE, 10 + number) for number in range(2000)]
    core.handle([one for name in batches for one in (opens(name), appends(name, 0, 1), closes(name, 1))])
    core.handle([cancels(name, (0, 1)) for name in batches])
    core.handle([takes(name, (0, 1)) for name in batches])
    assert calls_of(core, [begins(X, (run_id(1), 0))]) < 500


# ---- what is told of first, and anew


def test_of_what_is_more_urgent_is_told_first_whatever_it_wants_of_a_cluster(core: Checked):
    core.handle([ready(X, tags=("gpu",)), *maps(B, 2)])
    needs = {index: (task(OWN, index + 10),) for index in range(2)}
    urgent = [*needing(A2, needs, 0, 2, BatchOptions(tag="gpu", priority=1)), there(10), there(11)]
    assert core.handle([*works(A, 0, 2), *urgent])[-1] == tells(X, 10, 11)


def test_a_cluster_is_told_of_a_more_urgent_batch_though_it_was_told_of_another(core: Checked):
    core.handle(works(A, 0, 8))
    needs = {index: (task(OWN, index + 10),) for index in range(4)}
    urgent = [*needing(A2, needs, 0, 4, URGENT), *map(there, range(10, 14))]
    assert X in told([*core.handle(urgent), *core.handle([done(X, 1, 0)])])


def test_slots_that_cannot_take_it_do_not_make_it_wait_longer(empty: Checked):
    few = [*cluster(X, 1, tags=("gpu",)), *cluster(Y, 1, tags=("gpu",))]
    empty.handle([client(ALICE), *few, *cluster(Z, 50)])
    empty.handle(works(A, 0, 30, GPU))
    order, run, index = [], 2, 1
    for _ in range(10):
        [(_, index, _)] = given(empty.handle([done(Y, run, index)]))
        order.append(index)
        run += 1
    assert 2 in order
