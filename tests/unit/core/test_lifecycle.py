"""Every move the table has is made through the one function that makes them, and no other is."""

from itertools import product

import pytest

from scaler.core.batches import Batch
from scaler.core.lifecycle import AT_REST, ENDED, LIVE, TRANSITIONS, IllegalTransitionError, State, Trigger
from scaler.core.spans import Wait
from tests.unit.core.examples import ALICE, A, Checked, X, appends, client, cluster, opens, resumes

#: how a queued task gets into each state
PATHS: dict[State, tuple[Trigger, ...]] = {
    State.WAITING: (Trigger.UNREADY,),
    State.HELD: (),
    State.QUEUED: (),
    State.ASSIGNED: (Trigger.PLACE,),
    State.RETRACTING: (Trigger.PLACE, Trigger.RETRACT),
    State.RUNNING: (Trigger.PLACE, Trigger.BEGIN),
    State.CANCELLING: (Trigger.PLACE, Trigger.CANCEL),
    State.KEPT: (Trigger.PLACE, Trigger.KEEP),
    State.STORED: (Trigger.PLACE, Trigger.STORE),
    State.DONE: (Trigger.PLACE, Trigger.SUCCEED),
    State.FAILED: (Trigger.PLACE, Trigger.FAIL),
    State.CANCELLED: (Trigger.CANCEL,),
}
LEGAL = [(state, trigger, to) for (state, trigger), targets in TRANSITIONS.items() for to in targets]
ILLEGAL = [pair for pair in product(State, Trigger) if pair not in TRANSITIONS]


def in_state(state: State) -> tuple[Checked, Batch]:
    """Ten tasks of which [2, 8) stand in `state`; the one cluster there is takes none by itself."""
    core = Checked()
    batch_events = [resumes(A, 10, (2, 8))] if state is State.HELD else [opens(A), appends(A, 0, 10)]
    core.handle([client(ALICE), *cluster(X, slots=0), *batch_events])
    batch = core.managers.tasks.batches[A]
    for trigger in PATHS[state]:
        move(core, batch, 2, 8, trigger)
    core.check()
    return core, batch


def move(core: Checked, batch: Batch, lo: int, hi: int, trigger: Trigger, to: State | None = None) -> None:
    tasks = core.managers.tasks
    load = core.managers.workers.clusters[X].load
    before = batch.spans.within(lo, hi)[0].state
    is_told = before is State.HELD and trigger in {Trigger.KEEP, Trigger.STORE}
    is_new = is_told or trigger in {Trigger.PLACE, Trigger.CLAIM}
    run = tasks.new_run(batch, lo, hi, load, 12) if is_new else None
    waits = to is State.WAITING or (to is None and trigger in {Trigger.UNREADY, Trigger.RETRY})
    # a cancelled attempt that would be tried again is off
    waits = waits and before is not State.CANCELLING
    tasks.advance(batch, lo, hi, trigger, to=to, run=run, wait=Wait.INPUTS if waits else Wait.NOTHING)
    core.managers.workers.refresh()


def snapshot(core: Checked, batch: Batch) -> object:
    """All that a move may change, as plain values."""
    tasks = core.managers.tasks
    load = core.managers.workers.clusters[X].load
    return (
        [
            (span.lo, span.hi, span.state, span.run and span.run.id, span.counts, span.wait)
            for span in batch.spans.all()
        ],
        [(lane.key, lane.starts(), lane.tasks) for lane in batch.lanes()],
        (tasks.queue.tasks, dict(tasks.tasks_in), dict(tasks.moved), batch.gone, batch.store.live()),
        {name: (run.held, run.unfinished, run.size_bytes) for name, run in tasks.runs.items()},
        (load.unfinished, load.size_bytes, dict(load.by_times), dict(load.resources), list(load.live), list(load.runs)),
    )


@pytest.mark.parametrize(("state", "trigger", "to"), LEGAL)
def test_every_move_of_the_table_can_be_made(state: State, trigger: Trigger, to: State):
    core, batch = in_state(state)
    choice = to if len(TRANSITIONS[state, trigger]) > 1 else None
    move(core, batch, 4, 6, trigger, choice)
    core.check()
    states = [(span.lo, span.hi, span.state) for span in batch.spans.within(2, 8)]
    assert states == ([(2, 8, state)] if to is state else [(2, 4, state), (4, 6, to), (6, 8, state)])
    assert core.managers.tasks.moved[state, trigger] == 2


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL)
def test_every_other_move_raises_before_anything_changes(state: State, trigger: Trigger):
    core, batch = in_state(state)
    before = snapshot(core, batch)
    for to in (None, *State):
        with pytest.raises(IllegalTransitionError, match=f"{state.name} has no {trigger.name}"):
            core.managers.tasks.advance(batch, 4, 6, trigger, to=to)
    assert snapshot(core, batch) == before
    core.check()


@pytest.mark.parametrize(("state", "trigger"), TRANSITIONS)
def test_a_move_leads_nowhere_else_than_the_table_says(state: State, trigger: Trigger):
    core, batch = in_state(state)
    before = snapshot(core, batch)
    for to in [other for other in State if other not in TRANSITIONS[state, trigger]]:
        with pytest.raises(IllegalTransitionError, match=f"{state.name} has no {trigger.name} to {to.name}"):
            core.managers.tasks.advance(batch, 4, 6, trigger, to=to)
    assert snapshot(core, batch) == before


@pytest.mark.parametrize(("state", "trigger"), [pair for pair, targets in TRANSITIONS.items() if len(targets) > 1])
def test_where_the_table_leaves_a_choice_it_has_to_be_made(state: State, trigger: Trigger):
    core, batch = in_state(state)
    before = snapshot(core, batch)
    with pytest.raises(IllegalTransitionError):
        core.managers.tasks.advance(batch, 4, 6, trigger)
    assert snapshot(core, batch) == before


def test_a_cluster_owes_an_answer_or_has_the_outcome_of_exactly_what_can_be_lost_with_it():
    assert {state for state, trigger in TRANSITIONS if trigger is Trigger.LOSE} == LIVE | {State.KEPT}
    assert {state for state, trigger in TRANSITIONS if trigger is Trigger.OBJECT_LOST} == {State.STORED}


def test_a_task_stands_at_rest_at_a_cluster_or_has_ended():
    groups = (AT_REST, LIVE, {State.KEPT, State.STORED}, ENDED)
    assert sorted(state.name for group in groups for state in group) == sorted(state.name for state in State)


def test_what_has_ended_moves_no_more():
    assert not {pair for pair in TRANSITIONS if pair[0] in ENDED}


def test_a_retracting_task_may_do_all_an_assigned_one_may_but_be_retracted():
    of_assigned = {trigger: to for (state, trigger), to in TRANSITIONS.items() if state is State.ASSIGNED}
    of_retracting = {trigger: to for (state, trigger), to in TRANSITIONS.items() if state is State.RETRACTING}
    assert of_assigned == of_retracting | {Trigger.RETRACT: {State.RETRACTING}}
