"""What clients ask for: the life of a batch from its opening to the last acknowledgement, and what is refused."""

from array import array

import pytest

from scaler.core.events import CutOff, Note, PeerLost, Received, Send
from scaler.ids import BatchId, TaskId
from scaler.protocol import (
    AppendTasks,
    BatchOptions,
    Cause,
    ClearClient,
    CloseBatch,
    DefineFunction,
    Failure,
    InputKnown,
    KnownTags,
    NeedFunction,
    Resumed,
    TasksWait,
    WorkersReady,
)
from scaler.protocol.columns import ArgumentColumn
from scaler.protocol.inputs import dependency_frames
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    CODE,
    A,
    B,
    Checked,
    F,
    G,
    X,
    Y,
    appends,
    appends_column,
    arguments,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    closes,
    cluster,
    confirms,
    cut_off,
    defines,
    delivered_at,
    failure_for,
    finishes,
    function_for,
    large,
    maps,
    opens,
    results_for,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)


def known_batches(core: Checked) -> list[BatchId]:
    return list(core.managers.tasks.batches)


def test_a_batch_from_its_opening_to_the_last_acknowledgement(core: Checked):
    assert core.handle(maps(A, 3)) == [function_for(X), span_for(X, run_id(1), A, 0, 2)]
    assert core.handle([finishes(X, run_id(1), values(0, 2))]) == [
        results_for(A, values(0, 2)),
        span_for(X, run_id(2), A, 2, 3),
    ]
    assert core.handle([takes(A, (0, 2))]) == [delivered_at(X, run_id(1), (0, 2))]
    assert core.handle([finishes(X, run_id(2), values(2, 3))]) == [results_for(A, values(2, 3))]
    assert known_batches(core) == [A]
    assert core.handle([takes(A, (2, 3))]) == [delivered_at(X, run_id(2), (2, 3))]
    assert known_batches(core) == []
    assert core.next_deadline() is None


def test_calls_are_sent_while_the_batch_still_grows(core: Checked):
    assert core.handle([defines(), opens(A), appends(A, 0, 1)]) == [function_for(X), span_for(X, run_id(1), A, 0, 1)]
    assert core.handle([appends(A, 1, 2)]) == [span_for(X, run_id(2), A, 1, 2)]
    assert core.handle([finishes(X, run_id(1), values(0, 1)), takes(A, (0, 1))]) == [
        results_for(A, values(0, 1)),
        delivered_at(X, run_id(1), (0, 1)),
    ]
    core.handle([finishes(X, run_id(2), values(1, 2)), takes(A, (1, 2))])
    assert known_batches(core) == [A]
    assert core.handle([closes(A, 2)]) == []
    assert known_batches(core) == []


def test_a_batch_closed_after_all_was_taken_is_over_at_once(core: Checked):
    core.handle([opens(A), closes(A, 0)])
    assert known_batches(core) == []


def test_batches_may_be_opened_in_any_order(core: Checked):
    core.handle([opens(A3), opens(A)])
    assert known_batches(core) == [A3, A]


def test_what_is_said_of_a_batch_that_is_over_changes_nothing(core: Checked):
    core.handle([opens(A2), closes(A2, 0)])
    late = [appends(A2, 0, 1), closes(A2, 1), takes(A2, (0, 1)), cancels(A2, (0, 1)), appends(A, 0, 1)]
    assert core.handle(late) == []


def test_a_repeated_acknowledgement_is_passed_on_once(core: Checked):
    core.handle(maps(A, 2))
    core.handle([finishes(X, run_id(1), values(0, 2))])
    assert core.handle([takes(A, (0, 1), (0, 1)), takes(A, (0, 1))]) == [delivered_at(X, run_id(1), (0, 1))]


def test_an_acknowledgement_of_what_has_not_ended_says_that_nobody_waits_for_it(core: Checked):
    """Its value lay with a cluster that was lost before this was heard."""
    core.handle(maps(A, 2))
    assert core.handle([takes(A, (0, 2))]) == [cancel_at(X, run_id(1), (0, 2))]


# ---- functions


def test_a_function_goes_to_each_cluster_once(core: Checked):
    core.handle([*maps(A, 1), *maps(A2, 1)])
    assert said(core.handle([*cluster(Y), *maps(A3, 2)]))[-2:] == [
        function_for(Y),
        span_for(Y, run_id(3), A3, 0, 2),
    ]


def test_a_cluster_that_forgot_a_function_is_sent_it_again(core: Checked):
    core.handle(maps(A, 1))
    assert core.handle([Received(X, NeedFunction(F))]) == [function_for(X)]


def test_a_function_of_a_client_that_drops_all_or_leaves_is_kept_for_nobody(core: Checked):
    needs = Received(X, NeedFunction(F))
    core.handle([*maps(A, 1), *maps(B, 1)])
    assert core.handle([Received(ALICE, ClearClient()), needs]) == [function_for(X), cancel_at(X, run_id(1), (0, 1))]
    core.handle([finishes(X, run_id(2), values(0, 1)), takes(B, (0, 1)), Received(BOB, CloseBatch(B, 1))])
    core.handle([confirms(X, run_id(1), (0, 1))])
    assert core.handle([needs]) == [function_for(X)]
    assert core.handle([PeerLost(BOB, "gone"), needs]) == []


def test_a_function_that_nobody_names_and_nobody_has_is_not_asked_for(core: Checked):
    assert core.handle([Received(X, NeedFunction(G))]) == []


def test_code_that_a_function_came_with_is_asked_of_a_client_that_has_the_function_and_passed_on(core: Checked):
    core.handle(maps(A, 1))
    wanted = NeedFunction(G, F)
    assert core.handle([Received(X, wanted)]) == [Send(ALICE, NeedFunction(G))]
    assert core.handle([defines(G)]) == [function_for(X, G)]
    assert core.handle([*cluster(Y), Received(Y, wanted)])[-1] == function_for(Y, G)
    assert core.handle([Received(X, wanted)]) == [function_for(X, G)]


def test_code_that_does_not_come_is_asked_of_one_client_after_another(core: Checked):
    core.handle([*maps(A, 1), *maps(A2, 1), *maps(B, 1)])
    wanted = NeedFunction(G, F)
    asked = [core.handle([Received(X, wanted)]) for _ in range(3)]
    assert asked == [[Send(peer, NeedFunction(G))] for peer in (ALICE, BOB, ALICE)]
    core.handle([PeerLost(ALICE, "gone")])
    assert core.handle([Received(X, wanted)])[-1] == Send(BOB, NeedFunction(G))


def test_code_of_a_function_that_nobody_names_is_not_asked_for(core: Checked):
    core.handle(maps(A, 1))
    assert core.handle([Received(X, NeedFunction(G, G))]) == []


def test_a_function_that_is_missing_is_asked_of_the_client_and_what_waits_for_it_goes_on(core: Checked):
    assert core.handle([opens(A), appends(A, 0, 3)]) == [Send(ALICE, NeedFunction(F))]
    assert core.handle([appends(A, 3, 4)]) == []
    assert core.handle([defines()]) == [function_for(X), span_for(X, run_id(1), A, 0, 2)]


def test_another_batch_that_waits_for_the_same_function_goes_on_too(core: Checked):
    core.handle([opens(A), appends(A, 0, 1), opens(B), appends(B, 0, 1), opens(A2, function=G), appends(A2, 0, 1)])
    assert core.handle([defines(peer=BOB)]) == [
        function_for(X),
        span_for(X, run_id(1), A, 0, 1),
        span_for(X, run_id(2), B, 0, 1),
    ]


def test_a_batch_that_is_dropped_waits_for_no_function(core: Checked):
    core.handle([opens(A), appends(A, 0, 1), Received(ALICE, ClearClient())])
    assert core.handle([opens(B), appends(B, 0, 1)]) == [Send(BOB, NeedFunction(F))]
    assert core.handle([defines(peer=BOB)]) == [function_for(X), span_for(X, run_id(1), B, 0, 1)]


# ---- cancelling


def test_what_is_at_no_cluster_is_cancelled_at_once(core: Checked):
    core.handle(maps(A, 4))
    assert core.handle([cancels(A, (2, 4))]) == [cancelled_for(A, (2, 4))]
    assert core.handle([takes(A, (2, 4)), finishes(X, run_id(1), values(0, 2)), takes(A, (0, 2))]) == [
        results_for(A, values(0, 2)),
        delivered_at(X, run_id(1), (0, 2)),
    ]
    assert known_batches(core) == []


def test_what_is_at_a_cluster_is_cancelled_once_it_confirms(core: Checked):
    core.handle(maps(A, 2))
    assert core.handle([cancels(A, (0, 1))]) == [cancel_at(X, run_id(1), (0, 1))]
    assert core.handle([cancels(A, (0, 1))]) == []
    assert core.handle([confirms(X, run_id(1), (0, 1))]) == [cancelled_for(A, (0, 1))]


def test_clear_drops_all_of_a_client_and_nothing_of_another(core: Checked):
    core.handle([*maps(A, 2), *maps(A2, 2), *maps(B, 2)])
    assert core.handle([Received(ALICE, ClearClient())]) == [cancel_at(X, run_id(1), (0, 1))]
    assert known_batches(core) == [B]
    assert core.handle([confirms(X, run_id(1), (0, 1))]) == [span_for(X, run_id(3), B, 1, 2)]


def test_a_batch_that_was_cleared_may_be_followed_by_one_of_its_name(core: Checked):
    core.handle(maps(A, 2))
    assert core.handle([Received(ALICE, ClearClient()), opens(A), appends(A, 0, 1)]) == [
        cancel_at(X, run_id(1), (0, 2))
    ]
    assert core.handle([confirms(X, run_id(1), (0, 2))]) == [span_for(X, run_id(2), A, 0, 1)]


# ---- refusals


def test_a_tag_no_worker_ever_had_is_refused_with_the_known_ones(core: Checked):
    core.handle(cluster(Y, tags=("big", "gpu")))
    failure = Failure(
        Cause.UNKNOWN_TAG, "no worker has, or ever had, the tag 'gqu'; known tags: 'big', 'gpu'", attempts=0
    )
    assert core.handle([defines(), opens(A, BatchOptions(tag="gqu")), appends(A, 0, 2)]) == [
        failure_for(A, failure, (0, 2))
    ]
    assert core.handle([appends(A, 2, 3), closes(A, 3), takes(A, (0, 3))]) == [failure_for(A, failure, (2, 3))]
    assert known_batches(core) == []


def test_what_is_submitted_after_a_worker_with_its_tag_has_come_is_run(core: Checked):
    options = BatchOptions(tag="gpu")
    core.handle([defines(), opens(A, options), appends(A, 0, 2)])
    assert states(core) == [(0, 2, "failed")]
    core.handle(cluster(Y, tags=("gpu",)))
    assert core.handle([appends(A, 2, 3)])[-1] == span_for(Y, run_id(1), A, 2, 3, options)


@pytest.mark.parametrize(("count", "end"), [(32, "'t31'"), (33, "'t31', …"), (1000, "'t31', …")])
def test_of_many_known_tags_the_first_are_named(core: Checked, count: int, end: str):
    core.handle(cluster(Y, tags=tuple(f"t{n}" for n in range(count))))
    shown = ", ".join(f"'t{n}'" for n in range(31))
    text = f"no worker has, or ever had, the tag 'gqu'; known tags: {shown}, {end}"
    failure = Failure(Cause.UNKNOWN_TAG, text, attempts=0)
    assert core.handle([opens(A, BatchOptions(tag="gqu")), appends(A, 0, 1)]) == [failure_for(A, failure, (0, 1))]


def test_where_no_worker_has_a_tag_that_is_said(core: Checked):
    failure = Failure(Cause.UNKNOWN_TAG, "no worker has, or ever had, the tag 'gpu'; known tags: none", attempts=0)
    assert core.handle([opens(A, BatchOptions(tag="gpu")), appends(A, 0, 1)]) == [failure_for(A, failure, (0, 1))]


def test_what_no_connected_worker_offers_is_told_when_it_is_asked_for_and_waits(core: Checked):
    options = BatchOptions(resources=(("gpu", 4.0),))
    told = Send(ALICE, TasksWait(A, "no connected worker offers gpu=4"))
    assert core.handle([defines(), opens(A, options), appends(A, 0, 1), *maps(A2, 1)])[0] == told
    assert states(core) == [(0, 1, "queued")]
    assert states(core, A2) == [(0, 1, "assigned")]
    commands = core.handle(cluster(Y, slots=1, resources=(("gpu", 4.0),)))
    assert commands[-1] == span_for(Y, run_id(2), A, 0, 1, options)


def test_while_no_worker_can_take_anything_nothing_special_is_told(empty: Checked):
    empty.handle([client(ALICE)])
    assert empty.handle([defines(), opens(A, BatchOptions(resources=(("gpu", 4.0),))), appends(A, 0, 1)]) == []


def test_while_no_worker_ever_connected_every_tag_is_accepted(empty: Checked):
    options = BatchOptions(tag="gpu")
    empty.handle([client(), *maps(A, 1, options)])
    assert said(empty.handle(cluster(X, tags=("gpu",)))) == [
        Send(ALICE, KnownTags(("gpu",))),
        function_for(X),
        span_for(X, run_id(1), A, 0, 1, options),
        Send(ALICE, WorkersReady(ready=True)),
    ]


WRONG = {
    "a batch of another": Received(ALICE, opens(B).message),
    "calls of a batch that never was": appends(A2, 0, 1),
    "calls of another's batch": Received(ALICE, appends(B, 0, 1).message, arguments(0, 1).frames()),
    "a batch opened twice": opens(A),
    "calls that leave a gap": appends(A, 5, 6),
    "calls that overlap": appends(A, 1, 3),
    "calls that do not fit their frames": Received(ALICE, AppendTasks(A, 2, 1), (b"",)),
    "calls that run backwards": appends_column(
        A, ArgumentColumn(2, 2, array("Q", (100, 50, 110)).tobytes(), (bytes(10),))
    ),
    "a call too large for a frame": appends_column(A, large(2, (1 << 20) + 1)),
    "a call that needs a task of another client": Received(
        ALICE,
        AppendTasks(A, 2, 1, 1),
        (*arguments(2, 3).frames(), *dependency_frames(2, 3, {2: (TaskId(B, 0),)})),
    ),
    "a call whose needs do not fit its frames": Received(
        ALICE, AppendTasks(A, 2, 1, 1), (*arguments(2, 3).frames(), b"12345678")
    ),
    "a call with more needs than frames": Received(ALICE, AppendTasks(A, 2, 1, 9), arguments(2, 3).frames()),
    "what became of a task of another client": Received(ALICE, InputKnown(TaskId(B, 0), 0), (b"1",)),
    "what became of a task, in no known way": Received(ALICE, InputKnown(TaskId(A, 0), 77), (b"1",)),
    "a failure that is none": Received(ALICE, InputKnown(TaskId(A, 0), 2), (b"1",)),
    "what became of a task, without a byte": Received(ALICE, InputKnown(TaskId(A, 0), 0)),
    "what became of a task in too large a frame": Received(ALICE, InputKnown(TaskId(A, 0), 0), (bytes((1 << 20) + 1),)),
    "a closing that counts otherwise": closes(A, 3),
    "a parent": opens(A2, BatchOptions(parent=TaskId(A, 0))),
    "durable work": opens(A2, BatchOptions(durable="nightly")),
    "a resource of no amount": opens(A2, BatchOptions(resources=(("gpu", 0.0),))),
    "a resource beyond measure": opens(A2, BatchOptions(resources=(("gpu", 1e300),))),
    "a function of another size": Received(ALICE, DefineFunction(F, 5), CODE),
    "a function of another name": Received(ALICE, DefineFunction(G, 4), CODE),
    "a function of another name, in parts": Received(ALICE, DefineFunction(F, 4), (b"co", b"da")),
    "a message of a worker": Received(ALICE, confirms(X, run_id(1), (0, 1)).message),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_client_that_breaks_the_rules_is_cut_off_and_nobody_else(core: Checked, wrong: Received):
    core.handle([*maps(B, 1), opens(A), appends(A, 0, 2)])
    commands = core.handle([wrong, finishes(X, run_id(1), values(0, 1))])
    assert cut_off(commands) == [ALICE]
    assert results_for(B, values(0, 1)) in commands
    assert known_batches(core) == [B]
    assert core.handle([appends(A2, 0, 1), Received(ALICE, Resumed())]) == []


def test_why_a_client_is_cut_off_is_told_with_the_work_that_is_dropped(core: Checked):
    core.handle([opens(A), appends(A, 0, 2)])
    fields = (("client", "0000000000000001"), ("tasks", 2), ("reason", "it broke the rules"))
    assert core.handle([Received(ALICE, CloseBatch(A, 9))]) == [
        CutOff(ALICE, f"batch {A} is closed with 9 of 2 calls"),
        Note("info", "a client left unfinished work, which is dropped", fields),
    ]


def test_a_function_may_come_in_parts_and_none_of_another_name_takes_its_place(core: Checked):
    core.handle([Received(BOB, DefineFunction(F, 4), (b"evil",))])
    parts = (b"co", b"de")
    commands = core.handle([Received(ALICE, DefineFunction(F, 4), parts), opens(A), appends(A, 0, 1)])
    assert commands[0] == Send(X, DefineFunction(F, 4), parts)


def test_calls_after_the_closing_are_against_the_rules(core: Checked):
    core.handle([*maps(A, 2)])
    assert cut_off(core.handle([appends(A, 2, 3)])) == [ALICE]


def test_calls_that_come_again_unasked_are_passed_over(core: Checked):
    core.handle([*maps(A, 2)])
    assert core.handle([appends(A, 0, 2)]) == []
