"""Tasks that need others: they wait, go with the values, and fail as what they need failed."""

from array import array

import pytest

from scaler.core import needs as core_needs
from scaler.core.events import Received, Send
from scaler.core.inputs import MAX_BYTES, MAX_TASKS
from scaler.protocol import (
    BatchOptions,
    Cause,
    TasksFailed,
)
from scaler.protocol.codec import decode_failure, encode_failure
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES, RAISED, VALUE
from tests.unit.core.dependencies import alike, asks, inputs_of, is_clean, known, needing, of, span_with, task
from tests.unit.core.examples import (
    A2,
    A3,
    ALICE,
    CANCELLED,
    DIED,
    FINE,
    MISTAKE,
    TRY_AGAIN,
    A,
    Checked,
    X,
    appends,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    closes,
    confirms,
    defines,
    delivered_at,
    failure_for,
    finishes,
    function_for,
    knows,
    maps,
    opens,
    outcomes,
    results_for,
    run_id,
    span_for,
    states,
    takes,
    values,
)

# ---- waiting


def test_a_task_whose_inputs_are_more_than_goes_with_a_call_fails_and_says_so(
    core: Checked, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(core_needs, "MAX_VALUE_BYTES", 10)
    core.handle([*maps(A, 3), *needing(A2, {0: (task(A, 0), task(A, 1)), 1: (task(A, 0), task(A, 0))}, 0, 2)])
    first = core.handle([finishes(X, run_id(1), outcomes(0, [(VALUE, b"123456"), (VALUE, b"78901")]))])
    refused = [one for one in first if isinstance(one, Send) and isinstance(one.message, TasksFailed)]
    [failed] = [one.message for one in refused if isinstance(one.message, TasksFailed)]
    assert (failed.batch, failed.ranges, failed.failure.cause) == (A2, ((0, 1),), Cause.REFUSED)
    assert "more than goes with" in failed.failure.text
    assert states(core, A2) == [(0, 1, "failed"), (1, 2, "assigned")]


def test_a_task_waits_for_the_one_it_needs_and_goes_with_its_value(chain: Checked):
    assert (states(chain, A2), states(chain, A3)) == ([(0, 1, "waiting")], [(0, 1, "waiting")])
    assert chain.handle([finishes(X, run_id(1), outcomes(0, [(VALUE, b"first")]))]) == [
        results_for(A, outcomes(0, [(VALUE, b"first")])),
        span_with(X, run_id(2), A2, 0, [[0]], b"first"),
    ]
    assert chain.handle([finishes(X, run_id(2), outcomes(0, [(VALUE, b"second")]))]) == [
        results_for(A2, outcomes(0, [(VALUE, b"second")])),
        span_with(X, run_id(3), A3, 0, [[0]], b"second"),
    ]
    chain.handle([finishes(X, run_id(3), values(0, 1))])
    assert is_clean(chain)


def test_a_task_that_needs_several_waits_for_all_of_them_and_gets_them_in_its_order(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2), *needing(A2, {0: (task(A, 1), task(A, 0))})])
    assert core.handle([finishes(X, run_id(1), outcomes(0, [(VALUE, b"zero")]))]) == [
        results_for(A, outcomes(0, [(VALUE, b"zero")])),
    ]
    assert core.handle([finishes(X, run_id(1), outcomes(1, [(VALUE, b"one")]))]) == [
        results_for(A, outcomes(1, [(VALUE, b"one")])),
        span_with(X, run_id(2), A2, 0, [[0, 1]], b"one", b"zero"),
    ]


def test_a_task_may_need_an_earlier_one_of_its_own_batch(core: Checked):
    assert core.handle([defines(), opens(A), appends(A, 0, 3, {1: (task(A, 0),)})]) == [
        function_for(X),
        span_for(X, run_id(1), A, 0, 1),
        span_for(X, run_id(2), A, 2, 3),
    ]
    assert core.handle([finishes(X, run_id(1), values(0, 1))]) == [
        results_for(A, values(0, 1)),
        span_with(X, run_id(3), A, 1, [[0]], b"v"),
    ]


def test_a_value_goes_once_to_those_who_need_it_together_and_neighbours_need_nothing(wide: Checked):
    both = (task(A, 0), task(A, 1))
    wide.handle([defines(), opens(A), appends(A, 0, 2), *needing(A2, {0: both, 2: both[1:], 3: both[:1]}, hi=4)])
    assert states(wide, A2) == [(0, 1, "waiting"), (1, 2, "assigned"), (2, 4, "waiting")]
    column = outcomes(0, [(VALUE, b"zero"), (VALUE, b"one")])
    assert wide.handle([finishes(X, run_id(1), column)]) == [
        results_for(A, column),
        span_with(X, run_id(3), A2, 0, [[0, 1]], b"zero", b"one"),
        span_with(X, run_id(4), A2, 2, [[0], [1]], b"one", b"zero"),
    ]


def test_what_is_there_already_is_not_waited_for(chain: Checked):
    chain.handle([finishes(X, run_id(1), values(0, 1))])
    assert chain.handle([appends(A2, 1, 2, {1: (task(A, 0),)})]) == [span_with(X, run_id(3), A2, 1, [[0]], b"v")]


def test_a_value_whose_task_is_tried_again_is_still_waited_for(core: Checked):
    core.handle([defines(), opens(A, BatchOptions(retries=1, retry_delay_s=1.0)), appends(A, 0, 1)])
    core.handle(needing(A2, {0: (task(A, 0),)}))
    assert core.handle([finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))]) == [delivered_at(X, run_id(1), (0, 1))]
    assert states(core, A2) == [(0, 1, "waiting")]
    core.handle([], now=1.0)
    commands = core.handle([finishes(X, run_id(2), values(0, 1))], now=1.0)
    assert commands[-1] == span_with(X, run_id(3), A2, 0, [[0]], b"v")


def test_what_is_kept_of_a_result_does_not_keep_its_neighbours(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2), *needing(A2, {0: (task(A, 1), task(A2, 7))})])
    core.handle([finishes(X, run_id(1), outcomes(0, [(VALUE, bytes(1000)), FINE]))])
    kept = core.managers.tasks.inputs.get(task(A, 1))
    assert kept is not None
    assert kept.value.data == (b"v",)
    assert type(kept.value.data[0]) is bytes


# ---- how much goes together


def test_no_more_tasks_go_together_than_allowed(wide: Checked):
    wide.handle([defines(), opens(A), appends(A, 0, 1)])
    wide.handle(needing(A2, {index: (task(A, 0),) for index in range(MAX_TASKS + 1)}, hi=MAX_TASKS + 1))
    assert wide.handle([finishes(X, run_id(1), values(0, 1))]) == [
        results_for(A, values(0, 1)),
        span_with(X, run_id(2), A2, 0, [[0]] * MAX_TASKS, b"v"),
        span_with(X, run_id(3), A2, MAX_TASKS, [[0]], b"v"),
    ]


def test_no_more_bytes_go_together_than_allowed_but_those_of_one_task(wide: Checked):
    size = MAX_BYTES // 2
    sized = [(VALUE, bytes(size)), (VALUE, b"1" * size), (VALUE, b"2" * size)]
    wide.handle([defines(), opens(A), appends(A, 0, 3)])
    needs = {0: (task(A, 0), task(A, 1), task(A, 2)), 1: (task(A, 0),), 2: (task(A, 0),), 3: (task(A, 1),)}
    wide.handle(needing(A2, needs, hi=4))
    first, second, third = inputs_of(wide.handle([finishes(X, run_id(1), outcomes(0, sized))]))
    assert [bytes(value) for value in first.values] == [data for _, data in sized]
    assert (second.needs, [len(value) for value in second.values]) == ([[0], [0]], [size])
    assert (third.needs, bytes(third.values[0][:1])) == ([[0]], b"1")


def test_what_names_the_values_counts_as_they_do(wide: Checked):
    count = MAX_BYTES // 8 // 3
    everything = tuple(task(A, index) for index in range(count))
    wide.handle([defines(), *needing(A2, dict.fromkeys(range(3), everything), hi=3)])
    commands = wide.handle([known(one, VALUE, b"v") for one in everything])
    assert [len(inputs.needs) for inputs in inputs_of(commands)] == [2, 1]


def test_only_as_much_goes_as_the_arguments_of_one_chunk(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 1), *needing(A2, {0: (task(A, 0),)}), closes(A, 1)])
    core.handle([Received(ALICE, appends(A2, 1, 2).message, (array("Q", (0, 5000)).tobytes(), bytes(5000)))])
    knows(core, 1)
    commands = core.handle([finishes(X, run_id(1), values(0, 1))])
    assert [len(inputs.needs) for inputs in inputs_of(commands[:2])] == [1]


# ---- failing


def test_a_task_fails_with_the_error_of_the_one_it_needs_and_so_does_who_needs_it(chain: Checked):
    assert chain.handle([finishes(X, run_id(1), outcomes(0, [(RAISED, b"its own error")]))]) == [
        results_for(A, outcomes(0, [(RAISED, b"its own error")])),
        alike(A2, 0, 1, RAISED, b"its own error"),
        alike(A3, 0, 1, RAISED, b"its own error"),
    ]
    assert (states(chain, A2), states(chain, A3)) == ([(0, 1, "failed")], [(0, 1, "failed")])
    assert is_clean(chain)
    chain.handle([closes(A2, 1), takes(A2, (0, 1))])
    assert A2 not in chain.managers.tasks.batches


def test_it_is_told_which_attempt_failed(core: Checked):
    core.handle([defines(), opens(A, BatchOptions(retries=1, retry_delay_s=0.0)), appends(A, 0, 1)])
    core.handle(needing(A2, {0: (task(A, 0),)}))
    core.handle([finishes(X, run_id(1), outcomes(0, [TRY_AGAIN]))])
    commands = core.handle([finishes(X, run_id(2), outcomes(0, [MISTAKE]))])
    assert commands == [results_for(A, outcomes(0, [MISTAKE]), attempts=2), alike(A2, 0, 1, RAISED, b"!", attempts=2)]


def test_a_task_fails_for_the_reason_of_the_one_it_needs(chain: Checked):
    died = decode_failure(DIED[1])
    assert chain.handle([finishes(X, run_id(1), outcomes(0, [DIED]))]) == [
        results_for(A, outcomes(0, [DIED])),
        failure_for(A2, of(task(A, 0), died), (0, 1)),
        failure_for(A3, of(task(A, 0), died), (0, 1)),
    ]


def test_it_is_told_which_attempt_ended_so(core: Checked):
    core.handle([defines(), opens(A, BatchOptions(name="f", retries=1, retry_delay_s=0.0)), appends(A, 0, 1)])
    core.handle(needing(A2, {0: (task(A, 0),)}))
    core.handle([finishes(X, run_id(1), outcomes(0, [DIED]))])
    commands = core.handle([finishes(X, run_id(2), outcomes(0, [DIED]))])
    assert commands[-1] == failure_for(A2, of(task(A, 0), decode_failure(DIED[1]), attempts=2), (0, 1))


def test_a_task_fails_as_soon_as_one_of_those_it_needs_has_and_the_others_change_nothing(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2), *needing(A2, {0: (task(A, 0), task(A, 1))})])
    assert core.handle([finishes(X, run_id(1), outcomes(1, [MISTAKE]))]) == [
        results_for(A, outcomes(1, [MISTAKE])),
        alike(A2, 0, 1, RAISED, b"!"),
    ]
    assert core.handle([finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]


def test_of_two_that_failed_the_first_tells_why(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2), *needing(A2, {0: (task(A, 0), task(A, 1))})])
    column = outcomes(0, [MISTAKE, (RAISED, b"another")])
    assert core.handle([finishes(X, run_id(1), column)]) == [results_for(A, column), alike(A2, 0, 1, RAISED, b"!")]


def test_neighbours_that_fail_alike_are_told_together(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 2)])
    needs = dict.fromkeys((0, 1, 2, 4, 5), (task(A, 0),)) | {3: (task(A, 1),)}
    core.handle(needing(A2, needs, hi=6))
    error = bytes(MAX_FRAME_BYTES // 2)
    assert core.handle([finishes(X, run_id(1), outcomes(0, [(RAISED, error)]))]) == [
        results_for(A, outcomes(0, [(RAISED, error)])),
        alike(A2, 0, 2, RAISED, error),
        alike(A2, 2, 3, RAISED, error),
        alike(A2, 4, 6, RAISED, error),
    ]
    assert core.handle([finishes(X, run_id(1), outcomes(1, [DIED]))])[1:] == [
        failure_for(A2, of(task(A, 1), decode_failure(DIED[1])), (3, 4)),
    ]


def test_an_error_larger_than_a_frame_and_one_of_no_bytes_are_passed_on(core: Checked):
    core.handle([defines(), *needing(A2, {0: (task(A, 0),), 1: (task(A, 0),), 2: (task(A, 1),)}, hi=3)])
    large = (bytes(MAX_FRAME_BYTES), b"end")
    commands = core.handle([known(task(A, 0), RAISED, *large), known(task(A, 1), RAISED, b"")])
    assert [(command.message.lo, command.frames[4:]) for command in commands] == [
        (0, large),
        (1, large),
        (2, (b"",)),
    ]


def test_a_task_that_is_refused_takes_those_that_need_it_with_it(core: Checked):
    needs = needing(A2, {0: (task(A, 0),)})
    core.handle([opens(A, BatchOptions(name="f", tag="nowhere"))])
    commands = core.handle([defines(), appends(A, 0, 1), *needs])
    refused = commands[0]
    assert isinstance(refused, Send)
    assert commands[1] == asks(task(A, 0))
    failure = refused.message.failure
    assert failure.cause is Cause.UNKNOWN_TAG
    assert core.handle([known(task(A, 0), FAILED, encode_failure(failure))]) == [
        failure_for(A2, of(task(A, 0), failure, attempts=0), (0, 1)),
    ]


def test_a_task_of_an_unknown_tag_is_refused_whatever_it_needs(core: Checked):
    commands = core.handle([defines(), *needing(A2, {0: (task(A, 0),)}, options=BatchOptions(tag="nowhere"))])
    assert [type(command.message).__name__ for command in commands] == ["TasksFailed"]
    assert is_clean(core)


# ---- cancelling


def test_who_needs_a_task_that_is_cancelled_while_it_waits_is_cancelled(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 3), *needing(A2, {0: (task(A, 2),)})])
    assert core.handle([cancels(A, (2, 3))]) == [
        cancelled_for(A, (2, 3)),
        failure_for(A2, of(task(A, 2), CANCELLED), (0, 1)),
    ]


def test_who_needs_a_running_task_that_is_cancelled_is_so_when_that_is_confirmed(chain: Checked):
    chain.handle([begins(X, (run_id(1), 0))])
    assert chain.handle([cancels(A, (0, 1))]) == [cancel_at(X, run_id(1), (0, 1))]
    assert chain.handle([confirms(X, run_id(1), (0, 1))]) == [
        cancelled_for(A, (0, 1)),
        failure_for(A2, of(task(A, 0), CANCELLED), (0, 1)),
        failure_for(A3, of(task(A, 0), CANCELLED), (0, 1)),
    ]


def test_cancelling_who_waits_leaves_what_it_needed_alone(chain: Checked):
    assert chain.handle([cancels(A2, (0, 1))]) == [
        cancelled_for(A2, (0, 1)),
        failure_for(A3, of(task(A2, 0), CANCELLED), (0, 1)),
    ]
    assert is_clean(chain)
    assert chain.handle([finishes(X, run_id(1), values(0, 1))]) == [results_for(A, values(0, 1))]


def test_what_a_running_task_needed_is_let_go_when_nobody_wants_it(chain: Checked):
    chain.handle([finishes(X, run_id(1), values(0, 1)), cancels(A3, (0, 1))])
    assert not is_clean(chain)
    assert chain.handle([cancels(A2, (0, 1))]) == [cancel_at(X, run_id(2), (0, 1))]
    assert is_clean(chain)


def test_tasks_that_need_themselves_or_each_other_wait_until_they_are_cancelled(core: Checked):
    core.handle([defines(), *needing(A, {0: (task(A, 0),), 1: (task(A, 2),), 2: (task(A, 1),)}, hi=3)])
    assert states(core) == [(0, 3, "waiting")]
    assert core.handle([cancels(A, (0, 2))]) == [
        cancelled_for(A, (0, 2)),
        failure_for(A, of(task(A, 1), CANCELLED), (2, 3)),
    ]
    assert is_clean(core)


def test_a_task_that_names_another_twice_needs_it_once(core: Checked):
    core.handle([defines(), opens(A), appends(A, 0, 1), *needing(A2, {0: (task(A, 0), task(A, 0))})])
    assert core.handle([finishes(X, run_id(1), values(0, 1))])[1:] == [
        span_with(X, run_id(2), A2, 0, [[0, 0]], b"v"),
    ]
    core.handle([finishes(X, run_id(2), values(0, 1))])
    assert is_clean(core)
