"""Values that lie with the cluster that made them: kept there until they are taken, and made anew if it is lost."""

from scaler.core.dependents import FIRST_LOOK_S, MOST_LOOKS
from scaler.core.events import PeerLost, Received, Send
from scaler.ids import Incarnation, ObjectId, TaskId
from scaler.protocol import (
    Cause,
    Failure,
    FetchChunks,
    FreeObjects,
    InputKnown,
    NeedInputs,
    ObjectChunk,
    ObjectsDropped,
    ObjectsHeld,
    ObjectsLost,
    ReturnReason,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import CONTENT, FAILED, REFERENCE
from scaler.protocol.references import Reference, record_of
from tests.unit.core.dependencies import is_clean, known, needing, span_with, task
from tests.unit.core.examples import (
    A2,
    ALICE,
    OLD,
    A,
    Checked,
    X,
    Y,
    appends,
    cancels,
    cluster,
    defines,
    delivered_at,
    finishes,
    held,
    holds,
    knows,
    maps,
    need_tasks,
    outcomes,
    ready,
    results_for,
    resumes,
    returns,
    run_id,
    span_for,
    states,
    takes,
)


def stored(owner: int, n: int = 1) -> tuple[int, bytes]:
    """An outcome whose value lies with its cluster."""
    return REFERENCE, record_of(Reference(ObjectId(Incarnation(owner), n), 3 << 20, f"/{owner}/{n}", b"token"))


HERE, ANEW = stored(X), stored(Y)
LOST = (FAILED, encode_failure(Failure(Cause.OBJECT_LOST, "it is not there")))


def test_what_lies_with_its_cluster_is_told_and_kept_there_until_it_is_taken(core: Checked):
    core.handle([*maps(A, 2)])
    column = outcomes(0, [HERE, stored(X, 2)])
    assert core.handle([finishes(X, run_id(1), column)]) == [results_for(A, column)]
    assert states(core) == [(0, 2, "stored")]
    assert core.handle([takes(A, (0, 1))]) == [delivered_at(X, run_id(1), (0, 1))]
    assert core.handle([takes(A, (1, 2))]) == [delivered_at(X, run_id(1), (1, 2))]
    assert is_clean(core)


def test_of_a_message_only_that_is_kept_which_lies_with_its_cluster(core: Checked):
    knows(core, 10)
    core.handle([*maps(A, 3)])
    core.handle([finishes(X, run_id(1), outcomes(0, [(0, b"v"), HERE, (0, b"w")]))])
    assert states(core) == [(0, 1, "done"), (1, 2, "stored"), (2, 3, "done")]


def test_what_is_lost_with_its_cluster_is_made_anew(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE])), *cluster(Y)])
    assert need_tasks(A, 0, 1) in core.handle([PeerLost(X, "gone")])
    assert span_for(Y, run_id(2), A, 0, 1) in core.handle([appends(A, 0, 1)])
    assert core.handle([finishes(Y, run_id(2), outcomes(0, [ANEW]))]) == [
        results_for(A, outcomes(0, [ANEW]), attempts=2)
    ]


def test_what_nobody_needs_any_more_is_not_made_anew(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    core.handle([PeerLost(X, "gone")])
    assert states(core) == [(0, 1, "waiting")]
    core.handle([takes(A, (0, 1))])
    assert states(core) == [(0, 1, "cancelled")]
    core.handle([takes(A, (0, 1))])
    assert is_clean(core)


def test_what_its_cluster_finds_missing_is_made_anew(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    assert core.handle([returns(X, run_id(1), (0, 1), reason=ReturnReason.LOST)]) == [need_tasks(A, 0, 1)]
    assert core.handle([appends(A, 0, 1)]) == [span_for(X, run_id(2), A, 0, 1)]


def test_what_is_cancelled_goes_at_its_cluster(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    assert delivered_at(X, run_id(1), (0, 1)) in core.handle([cancels(A, (0, 1))])


# ---- tasks that need it


def test_tasks_are_told_where_it_lies(core: Checked):
    core.handle([*maps(A, 1), *needing(A2, {0: (task(A, 0),)}, 0, 1)])
    assert core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))]) == [
        results_for(A, outcomes(0, [HERE])),
        span_with(X, run_id(2), A2, 0, [[0]], HERE[1]),
    ]


def test_of_what_was_told_before_its_client_is_asked(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    assert Send(ALICE, NeedInputs((task(A, 0),))) in core.handle(needing(A2, {0: (task(A, 0),)}, 0, 1))
    assert core.handle([known(task(A, 0), *HERE)]) == [span_with(X, run_id(2), A2, 0, [[0]], HERE[1])]


def test_those_that_wait_for_a_worker_wait_for_it_to_be_made_anew(core: Checked):
    core.handle([*maps(A, 1), *needing(A2, {0: (task(A, 0),)}, 0, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE])), PeerLost(X, "gone")])
    assert (states(core), states(core, A2)) == ([(0, 1, "waiting")], [(0, 1, "waiting")])
    core.handle([appends(A, 0, 1), *cluster(Y)])
    assert core.handle([finishes(Y, run_id(2), outcomes(0, [ANEW]))]) == [
        results_for(A, outcomes(0, [ANEW]), attempts=2),
        span_with(Y, run_id(3), A2, 0, [[0]], ANEW[1]),
    ]


def test_one_that_could_not_have_it_waits_for_it_to_be_made_anew(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE])), ready(X, slots=0), *cluster(Y)])
    core.handle([*needing(A2, {0: (task(A, 0),)}, 0, 1), known(task(A, 0), *HERE)])
    core.handle([PeerLost(X, "gone")])
    core.handle([appends(A, 0, 1)])
    assert states(core, A2) == [(0, 1, "assigned")]
    core.handle([finishes(Y, run_id(2), outcomes(0, [LOST]))])
    assert states(core, A2) == [(0, 1, "waiting")]
    assert span_with(Y, run_id(4), A2, 0, [[0]], ANEW[1]) in core.handle([finishes(Y, run_id(3), outcomes(0, [ANEW]))])


def test_one_that_cannot_find_it_looks_again_and_at_last_fails(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    core.handle([*needing(A2, {0: (task(A, 0),)}, 0, 1), known(task(A, 0), *HERE)])
    now = 0.0
    for times in range(MOST_LOOKS):
        asked = core.handle([finishes(X, run_id(times + 2), outcomes(0, [LOST]))], now)
        assert Send(ALICE, NeedInputs((task(A, 0),))) in asked
        core.handle([known(task(A, 0), *HERE)], now)
        assert states(core, A2) == [(0, 1, "waiting")]
        now += FIRST_LOOK_S * 2.0**times
        core.handle([], now)
    core.handle([finishes(X, run_id(MOST_LOOKS + 2), outcomes(0, [LOST]))], now)
    assert states(core, A2) == [(0, 1, "failed")]


def test_one_that_an_earlier_scheduler_sent_out_looks_again_though_nobody_knows_what_it_needs(anew: Checked):
    anew.handle([holds(X, held(A, OLD, queued=[(0, 1)]))])
    anew.handle([resumes(A, 1, (0, 1)), defines()])
    assert states(anew) == [(0, 1, "assigned")]
    anew.handle([finishes(X, OLD, outcomes(0, [LOST]))])
    assert states(anew) == [(0, 1, "waiting")]
    assert need_tasks(A, 0, 1) in anew.handle([], FIRST_LOOK_S)


def test_one_that_could_not_have_what_has_come_by_value_since_runs_again_with_that(core: Checked):
    core.handle(maps(A, 1))
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE])), ready(X, slots=0), *cluster(Y)])
    core.handle([*needing(A2, {0: (task(A, 0),)}, 0, 1), known(task(A, 0), *HERE)])
    content = outcomes(0, [(CONTENT, b"content")])
    assert core.handle([finishes(X, run_id(1), content)])[0] == results_for(A, content)
    core.handle([PeerLost(X, "goodbye")])
    core.handle([finishes(Y, run_id(2), outcomes(0, [LOST]))])
    assert span_with(Y, run_id(3), A2, 0, [[0]], b"content") in core.handle([], FIRST_LOOK_S)


def test_what_a_client_has_not_heard_is_lost_is_not_believed(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    core.handle([*needing(A2, {0: (task(A, 0),)}, 0, 1), PeerLost(X, "gone")])
    core.handle([known(task(A, 0), *HERE), appends(A, 0, 1), *cluster(Y)])
    assert (states(core), states(core, A2)) == ([(0, 1, "assigned")], [(0, 1, "waiting")])


def test_an_object_of_the_clients_is_not_what_a_task_returned(core: Checked):
    core.handle([*maps(A, 1)])
    told = InputKnown(TaskId(A, 0), REFERENCE)
    core.handle([Received(ALICE, told, (stored(ALICE)[1],))])
    assert ALICE not in core.managers.outbox.peers


# ---- its pieces

NAME = ObjectId(X, 1)


def test_its_pieces_are_asked_of_its_cluster(core: Checked):
    core.handle([*maps(A, 1)])
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    assert core.handle([Received(ALICE, FetchChunks(NAME, 0, 2))]) == [Send(X, FetchChunks(NAME, 0, 2))]
    piece = ObjectChunk(NAME, 1, 3 << 20)
    assert core.handle([Received(X, piece, (b"data",))]) == [Send(ALICE, piece, (b"data",))]
    assert Send(ALICE, ObjectsLost((NAME,))) in core.handle([PeerLost(X, "gone")])


def test_copies_of_it_go_with_it(core: Checked):
    core.handle(cluster(Y))
    core.handle([Received(Y, FetchChunks(NAME, 0, 1))])
    assert core.handle([Received(Y, ObjectsHeld((NAME,)))]) == []
    assert Send(Y, FreeObjects((NAME,))) in core.handle([Received(X, ObjectsDropped((NAME,)))])
    assert core.handle([Received(Y, ObjectsHeld((NAME,)))]) == [Send(Y, FreeObjects((NAME,)))]
    core.handle([Received(Y, FetchChunks(NAME, 0, 1)), Received(Y, ObjectsHeld((NAME,)))])
    assert Send(Y, FreeObjects((NAME,))) in core.handle([PeerLost(X, "gone")])
    assert not len(core.managers.objects)


def test_what_small_results_take_is_let_go_of_whatever_lies_beside_them(core: Checked):
    knows(core, 10)
    core.handle(maps(A, 4))
    core.handle([finishes(X, run_id(1), outcomes(0, [(0, b"v" * 1000), HERE, (0, b"w" * 1000), stored(X, 2)]))])
    assert core.managers.tasks.result_bytes[ALICE] > 1000
    core.handle([takes(A, (0, 1), (2, 3))])
    assert ALICE not in core.managers.tasks.result_bytes
    assert states(core) == [(1, 2, "stored"), (3, 4, "stored")]


def test_arguments_of_what_is_stored_take_no_room(core: Checked):
    core.handle(maps(A, 2))
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE, stored(X, 2)]))])
    assert core.managers.tasks.batches[A].store.held_bytes() == 0


def test_what_is_handed_over_without_room_waits_at_its_cluster(core: Checked):
    core.handle(maps(A, 1))
    core.handle([finishes(X, run_id(1), outcomes(0, [HERE]))])
    core.managers.clients.clients[ALICE].way.room_bytes = 0
    core.handle([finishes(X, run_id(1), outcomes(0, [(CONTENT, b"content")]))])
    assert states(core) == [(0, 1, "kept")]
    core.handle([PeerLost(X, "gone")])
    assert states(core) == [(0, 1, "waiting")]
