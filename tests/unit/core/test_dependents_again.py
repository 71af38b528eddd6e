"""What tasks need is asked of its client, is kept while they have not ended, and is put together after a restart."""

import pytest
from msgspec.structs import replace

from scaler.core.dependents import MOST_IN_A_TURN
from scaler.core.events import AwaitRoom, PeerLost, Received
from scaler.core.needs import Input
from scaler.ids import BatchId
from scaler.protocol import (
    Cause,
    ClearClient,
    Failure,
    InputKnown,
    ReturnReason,
)
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES, RAISED, VALUE
from scaler.protocol.options import MAX_RANGES
from tests.unit.core.dependencies import alike, asks, is_clean, known, needing, span_with, task
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    BOB,
    DIED,
    EARLIER,
    MISTAKE,
    OLD,
    A,
    Checked,
    X,
    Y,
    Z,
    appends,
    begins,
    cancels,
    client,
    cluster,
    defines,
    delivered_at,
    failure_for,
    finishes,
    function_for,
    held,
    holds,
    need_tasks,
    opens,
    outcomes,
    results_for,
    resumes,
    returns,
    run_id,
    said,
    states,
    takes,
    values,
)

# ---- what the client is asked for


def test_what_has_passed_before_is_asked_of_the_client(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2)])
    core.handle([finishes(X, run_id(1), values(0, 2)), takes(A, (0, 1))])
    tasks = (task(A, 0), task(A, 1), task(A3, 5))
    assert core.handle(needing(A2, {0: tasks})) == [asks(*tasks)]
    assert core.handle([known(tasks[0], VALUE, b"zero"), known(tasks[2], VALUE, b"five")]) == []
    assert core.handle([known(tasks[1], VALUE, b"one")]) == [
        span_with(X, run_id(2), A2, 0, [[0, 1, 2]], b"zero", b"one", b"five"),
    ]


def test_it_is_asked_once_for_all_who_need_it(core: Checked):
    assert core.handle([defines(), *needing(A2, {0: (task(A, 0),), 1: (task(A, 0),)}, hi=2)]) == [asks(task(A, 0))]
    assert core.handle(needing(A3, {0: (task(A, 0),)})) == []
    commands = core.handle([known(task(A, 0), VALUE, b"v")])
    assert commands == [
        function_for(X),
        span_with(X, run_id(1), A2, 0, [[0], [0]], b"v"),
    ]
    assert states(core, A3) == [(0, 1, "queued")]


def test_it_is_asked_for_no_more_in_a_message_than_allowed(core: Checked):
    tasks = tuple(task(A, index) for index in range(MAX_RANGES + 1))
    assert core.handle([defines(), *needing(A2, {0: tasks})]) == [asks(*tasks[:-1]), asks(tasks[-1])]


def test_who_needs_what_the_client_says_has_failed_fails(core: Checked):
    core.handle([defines(), *needing(A2, {0: (task(A, 0),)}), *needing(A3, {0: (task(A, 1),)})])
    gone = Failure(Cause.CANCELLED, "given up")
    assert core.handle(
        [known(task(A, 0), RAISED, b"!", attempts=3), known(task(A, 1), FAILED, encode_failure(gone))]
    ) == [
        alike(A2, 0, 1, RAISED, b"!", attempts=3),
        failure_for(A3, replace(gone, task=str(task(A, 1))), (0, 1)),
    ]


def test_an_answer_nobody_waits_for_and_a_second_one_change_nothing(chain: Checked):
    assert chain.handle([known(task(A, 9), VALUE, b"?")]) == []
    chain.handle([finishes(X, run_id(1), values(0, 1)), known(task(A, 0), VALUE, b"?")])
    assert chain.handle([known(task(A, 0), VALUE, b"?")]) == []
    kept = chain.managers.tasks.inputs.get(task(A, 0))
    assert kept is not None
    assert kept.value.data == (b"v",)


# ---- what a task needs is kept until it has ended


def test_who_is_lost_with_its_cluster_goes_elsewhere_with_the_same_values(chain: Checked):
    chain.handle([finishes(X, run_id(1), values(0, 1)), takes(A, (0, 1)), *cluster(Y)])
    assert said(chain.handle([PeerLost(X, "cut")])) == [
        function_for(Y),
        span_with(Y, run_id(3), A2, 0, [[0]], b"v"),
    ]


def test_nothing_is_kept_of_a_client_that_is_lost_or_clears(chain: Checked):
    chain.handle([finishes(X, run_id(1), values(0, 1)), begins(X, (run_id(2), 0))])
    assert not is_clean(chain)
    chain.handle([Received(ALICE, ClearClient())])
    assert is_clean(chain)
    chain.handle([defines(), opens(BatchId(ALICE, 4)), appends(BatchId(ALICE, 4), 0, 1, {0: (task(A, 7),)})])
    assert not is_clean(chain)
    chain.handle([PeerLost(ALICE, "cut")])
    assert is_clean(chain)


def test_a_client_that_comes_back_is_not_taken_for_who_it_was(chain: Checked):
    chain.handle([finishes(X, run_id(1), values(0, 1))])
    chain.handle([begins(X, (run_id(2), 0)), PeerLost(ALICE, "cut")])
    chain.handle([client(ALICE), resumes(A, 1, (0, 1)), *needing(BatchId(ALICE, 4), {0: (task(A, 0),)})], now=1.0)
    assert states(chain, A) == [(0, 1, "held")]
    chain.handle([], now=10.0)
    chain.handle([appends(A, 0, 1)], now=10.0)
    chain.handle([finishes(X, run_id(3), values(0, 1))], now=11.0)
    assert states(chain, BatchId(ALICE, 4)) == [(0, 1, "assigned")]


def test_a_peer_may_not_be_told_anothers_outcome(core: Checked):
    core.handle([defines(), *needing(A2, {0: (task(A, 0),)})])
    core.handle([Received(BOB, InputKnown(task(A, 0), VALUE), (b"lie",))])
    assert states(core, A2) == [(0, 1, "waiting")]


# ---- after a restart


@pytest.fixture
def resumed(anew: Checked) -> Checked:
    """A needs a task that is done, A2 one that the client waits for; nobody has claimed either in time."""
    anew.handle([defines(), resumes(A, 2, (0, 1)), resumes(A2, 1, (0, 1))])
    assert anew.handle([], now=3.0) == [need_tasks(A, 0, 1), need_tasks(A2, 0, 1)]
    return anew


def test_what_they_need_comes_with_the_arguments(resumed: Checked):
    assert resumed.handle([appends(A2, 0, 1, {0: (task(A, 0),)})], now=3.0) == []
    assert resumed.handle([appends(A, 0, 1, {0: (task(A, 1),)})], now=3.0) == [asks(task(A, 1))]
    assert resumed.handle([known(task(A, 1), VALUE, b"old")], now=3.0) == [
        function_for(X),
        span_with(X, run_id(1), A, 0, [[0]], b"old"),
    ]
    assert resumed.handle([finishes(X, run_id(1), values(0, 1))], now=4.0) == [
        results_for(A, values(0, 1)),
        span_with(X, run_id(2), A2, 0, [[0]], b"v"),
    ]


def test_a_value_that_a_cluster_has_finished_before_is_waited_for(resumed: Checked):
    resumed.handle([appends(A2, 0, 1, {0: (task(A, 0),)}), holds(Y, held(A, OLD, finished=[(0, 1)]))], now=3.0)
    assert resumed.handle([finishes(Y, OLD, values(0, 1))], now=3.0) == [
        results_for(A, values(0, 1)),
        function_for(X),
        span_with(X, run_id(1), A2, 0, [[0]], b"v"),
    ]


def test_one_that_was_claimed_while_it_waited_waits_again_when_it_comes_back(resumed: Checked):
    resumed.handle([appends(A2, 0, 1, {0: (task(A, 0),)}), holds(Y, held(A2, OLD, queued=[(0, 1)]))], now=3.0)
    assert states(resumed, A2) == [(0, 1, "assigned")]
    assert resumed.handle([returns(Y, OLD, (0, 1), reason=ReturnReason.NOT_BEGUN)], now=3.0) == []
    assert states(resumed, A2) == [(0, 1, "waiting")]
    resumed.handle([appends(A, 0, 1)], now=4.0)
    assert resumed.handle([finishes(X, run_id(1), values(0, 1))], now=5.0)[-1] == span_with(
        X, run_id(2), A2, 0, [[0]], b"v"
    )


def test_one_that_was_claimed_while_it_waited_fails_when_it_is_lost_and_what_it_needs_has_failed(resumed: Checked):
    resumed.handle([appends(A2, 0, 1, {0: (task(A, 1),)}), holds(Y, held(A2, OLD, running=(0,)))], now=3.0)
    assert resumed.handle([known(task(A, 1), RAISED, b"!")], now=3.0) == []
    assert said(resumed.handle([PeerLost(Y, "cut")], now=4.0)) == [alike(A2, 0, 1, RAISED, b"!")]


def test_one_that_is_claimed_as_its_arguments_come_needs_no_less_when_it_is_lost(anew: Checked):
    anew.handle([*cluster(Z), defines(), resumes(A, 1, (0, 1)), resumes(A2, 1, (0, 1))])
    anew.handle([holds(Y, held(A2, OLD, queued=[(0, 1)])), holds(Z, held(A2, run_id(6, EARLIER), running=(0,)))])
    assert anew.handle([returns(Y, OLD, (0, 1))]) == [need_tasks(A2, 0, 1)]
    assert anew.handle([appends(A2, 0, 1, {0: (task(A, 0),)})]) == []
    assert states(anew, A2) == [(0, 1, "running")]
    assert said(anew.handle([PeerLost(Z, "cut")])) == []
    assert states(anew, A2) == [(0, 1, "waiting")]


def test_arguments_that_were_not_waited_for_add_no_needs(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 4)])
    core.handle([appends(A, 0, 4, {3: (task(A, 0),)})])
    assert states(core) == [(0, 2, "assigned"), (2, 4, "queued")]
    assert is_clean(core)


def test_arguments_that_come_twice_change_nothing(resumed: Checked):
    resumed.handle([appends(A2, 0, 1, {0: (task(A, 0),)})], now=3.0)
    assert resumed.handle([appends(A2, 0, 1, {0: (task(A, 1),)})], now=3.0) == []
    assert [one.task for one in resumed.managers.tasks.batches[A2].needs[0].inputs] == [task(A, 0)]


# ---- many


@pytest.mark.parametrize("ended", [MISTAKE, DIED])
def test_of_a_long_chain_some_fail_in_a_turn_and_the_rest_at_once_in_those_that_follow(
    core: Checked, ended: tuple[int, bytes]
):
    count = 10 * MOST_IN_A_TURN + 1
    needs = {index: (task(A, index - 1),) for index in range(1, count)}
    core.handle([defines(), opens(A), appends(A, 0, count, needs)])
    turns = [core.handle([finishes(X, run_id(1), outcomes(0, [ended]))])]
    while core.next_deadline() == 0.0:
        turns.append(core.handle([]))
    # each tells once of all that it has moved
    assert [len(commands) for commands in turns] == [2] + [1] * 9
    assert states(core) == [(0, 1, "failed"), (1, count, "failed")]
    assert is_clean(core)


def test_what_is_let_go_between_two_such_turns_fails_nobody(core: Checked):
    count = 2 * MOST_IN_A_TURN
    needs = {index: (task(A, index - 1),) for index in range(1, count)}
    core.handle([defines(), opens(A), appends(A, 0, count, needs)])
    core.handle([finishes(X, run_id(1), outcomes(0, [MISTAKE])), cancels(A, (MOST_IN_A_TURN + 10, count))])
    assert said(core.handle([PeerLost(ALICE, "cut")])) == [delivered_at(X, run_id(1), (0, 1))]
    assert core.next_deadline() is None
    assert is_clean(core)


def test_what_twenty_thousand_need_one_by_one_is_few_spans_and_few_messages(core: Checked):
    count = 20_000
    core.handle([defines(), opens(A), appends(A, 0, 1), opens(A2)])
    core.handle([appends(A2, index, index + 1, {index: (task(A, 0),)}) for index in range(count)])
    assert states(core, A2) == [(0, count, "waiting")]
    commands = core.handle([finishes(X, run_id(1), outcomes(0, [(RAISED, bytes(1000))]))])
    commands.remove(AwaitRoom(ALICE, 8 << 20))
    assert len(commands) == 1 + -(-count // (MAX_FRAME_BYTES // 1000))
    assert len({id(memoryview(command.frames[4]).obj) for command in commands[1:]}) == 1
    assert is_clean(core)


def test_a_value_is_not_to_be_had_before_it_is_there():
    with pytest.raises(LookupError, match="task 0000000000000001-1-0 has no value yet"):
        _ = Input(task(A, 0), {}).value
