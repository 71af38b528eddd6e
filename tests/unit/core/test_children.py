"""Clients inside tasks: how they are known, what they are told, when they are gone, and when their task is parked."""

import msgspec
import pytest

from scaler.core.events import CutOff, Note, PeerJoined, PeerLost, Received, Send, Slept
from scaler.ids import BatchId, Incarnation, TaskId
from scaler.protocol import (
    BatchOptions,
    CloseBatch,
    Goodbye,
    KnownTags,
    NeedFunction,
    ParkParent,
    Resumed,
    ShutdownAnswer,
    ShutdownScheduler,
    TellChild,
    WorkersReady,
)
from tests.unit.core.children import CHILD, DEEPER, NESTED, OTHER, RUN, C, says, tell, through
from tests.unit.core.examples import (
    ALICE,
    BOB,
    OLD,
    A,
    B,
    Checked,
    F,
    X,
    Y,
    appends,
    began_for,
    begins,
    cancel_at,
    cancelled_for,
    cancels,
    client,
    cluster,
    confirms,
    defines,
    finishes,
    function_for,
    held,
    holds,
    knows,
    maps,
    need_tasks,
    opens,
    ready,
    results_for,
    resumes,
    run_id,
    said,
    span_for,
    states,
    takes,
    values,
)

GREETING = [KnownTags(()), WorkersReady(ready=True)]


def greeting(child: Incarnation = CHILD, peer: Incarnation = X) -> list[Send]:
    return [Send(peer, TellChild(child, message)) for message in GREETING]


@pytest.fixture
def parent(core: Checked) -> Checked:
    """One where call 0 of Alice's is at X, which has another slot."""
    core.handle(maps(A, 1))
    return core


@pytest.fixture
def family(parent: Checked) -> Checked:
    """One where that call has submitted two of its own, of which one runs."""
    parent.handle(through(maps(C, 2, NESTED)))
    return parent


def test_a_child_is_a_client_that_is_reached_through_its_cluster(parent: Checked):
    assert parent.handle(through(maps(C, 1, NESTED))) == [
        *greeting(),
        span_for(X, run_id(2), C, 0, 1, NESTED),
    ]
    assert parent.handle([finishes(X, run_id(2), values(0, 1))]) == [tell(results_for(C, values(0, 1)))]
    assert states(parent) == [(0, 1, "running")]
    parent.handle([says(takes(C, (0, 1)).message)])
    assert list(parent.managers.tasks.batches) == [A]


def test_what_a_child_submits_goes_before_what_its_parent_waits_beside(core: Checked):
    core.handle(maps(A, 4))
    core.handle(through(maps(C, 2, NESTED)))
    done = core.handle([finishes(X, RUN, values(1, 2))])
    assert said(done)[-1] == span_for(X, run_id(2), C, 0, 1, NESTED)


def test_tasks_of_a_function_that_nests_are_not_sent_ahead(core: Checked):
    knows(core, 1000)
    assert said(core.handle(maps(B, 100)))[-1] == span_for(X, RUN, B, 0, 100)
    core.handle([says(Resumed()), finishes(X, RUN, values(0, 100))])
    assert said(core.handle(maps(BatchId(BOB, 2), 100)))[-1] == span_for(X, run_id(2), BatchId(BOB, 2), 0, 2)


def test_what_a_child_submits_takes_the_turns_of_the_client_at_the_root(core: Checked):
    bobs = BatchId(BOB, 1)
    core.handle([*maps(A, 4), *maps(bobs, 4)])
    core.handle(through(maps(C, 4, NESTED)))
    first = core.handle([finishes(X, run_id(2), values(0, 1))])
    assert said(first)[-1] == span_for(X, run_id(3), C, 0, 1, NESTED)
    second = core.handle([finishes(X, run_id(3), values(0, 1))])
    assert said(second)[-1] == span_for(X, run_id(4), bobs, 1, 2)


def test_the_deepest_go_first(core: Checked):
    grandchild = BatchId(OTHER, 1)
    core.handle(maps(A, 1))
    core.handle(through(maps(C, 2, NESTED)))
    core.handle(through(maps(grandchild, 1, DEEPER), OTHER, run_id(2)))
    done = core.handle([finishes(X, RUN, values(0, 1))])
    assert said(done)[-1] == span_for(X, run_id(3), grandchild, 0, 1, DEEPER)


FORGED = [
    BatchOptions(name="f"),
    msgspec.structs.replace(NESTED, root=BOB),
    msgspec.structs.replace(NESTED, root=Incarnation(0)),
    msgspec.structs.replace(NESTED, depth=2),
    msgspec.structs.replace(NESTED, parent=TaskId(A, 1)),
    msgspec.structs.replace(NESTED, parent=None),
]


@pytest.mark.parametrize("forged", FORGED)
def test_a_child_that_says_its_tasks_are_nested_elsewhere_is_let_out(parent: Checked, forged: BatchOptions):
    reason = "the tasks of a client inside a task are not nested in what it says"
    for event in (opens(C, forged), resumes(C, 1, (0, 1), options=forged)):
        answer = said(parent.handle([says(event.message)]))
        assert answer == [*greeting(), Send(X, TellChild(CHILD, Goodbye(reason)))]


def test_a_call_on_every_worker_is_what_its_children_are_nested_in(core: Checked):
    core.handle(maps(A, 1, BatchOptions(name="f", everywhere=True)))
    forged = msgspec.structs.replace(NESTED, root=BOB)
    answer = said(core.handle([says(opens(C, forged).message)]))
    assert isinstance(answer[-1].message, TellChild)
    assert isinstance(answer[-1].message.message, Goodbye)


def test_a_task_whose_child_speaks_has_begun(core: Checked):
    core.handle(maps(A, 1))
    assert states(core) == [(0, 1, "assigned")]
    core.handle([says(Resumed())])
    assert states(core) == [(0, 1, "running")]


def test_calls_on_every_worker_may_have_children_too(core: Checked):
    everywhere = BatchOptions(name="f", everywhere=True)
    core.handle(maps(A, 1, everywhere))
    commands = core.handle(through(maps(C, 1, NESTED)))
    assert commands[:2] == greeting()
    assert states(core, C) == [(0, 1, "assigned")]


def test_a_child_has_no_calls_made_on_every_worker(parent: Checked):
    options = msgspec.structs.replace(NESTED, everywhere=True)
    reason = "the option everywhere is not served by this version"
    answer = said(parent.handle([says(opens(C, options).message)]))
    assert answer[-1] == Send(X, TellChild(CHILD, Goodbye(reason)))


def test_a_child_that_its_cluster_says_goodbye_for_is_dropped_with_all_it_has_submitted(family: Checked):
    assert family.handle([says(Goodbye("its task has ended"))]) == [cancel_at(X, run_id(2), (0, 1))]
    assert list(family.managers.clients.clients) == [ALICE, BOB]
    assert family.handle([confirms(X, run_id(2), (0, 1))]) == []
    assert list(family.managers.tasks.by_serial) == [1]


def test_a_goodbye_for_a_child_that_never_spoke_changes_nothing(parent: Checked):
    assert parent.handle([says(Goodbye(""))]) == []


def test_the_children_of_a_cluster_go_with_it(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 1), *maps(A, 1)])
    empty.handle([*through(maps(C, 1, NESTED)), *cluster(Y, 1)])
    assert states(empty, C) == [(0, 1, "assigned")]
    commands = said(empty.handle([PeerLost(X, "cut")]))
    assert cancel_at(Y, run_id(2), (0, 1)) in commands
    assert list(empty.managers.clients.clients) == [ALICE]
    assert states(empty) == [(0, 1, "queued")]


def test_a_child_of_a_run_that_is_not_its_clusters_is_told_so(parent: Checked):
    parent.handle(cluster(Y, 1))
    text = "the task that this client is inside of is wanted no more"
    answer = [Send(Y, TellChild(CHILD, Goodbye(text)))]
    assert parent.handle([says(Resumed(), peer=Y)]) == answer
    assert parent.handle([says(Resumed(), run=run_id(9), peer=Y)]) == answer


TAKEN = "another peer, or a client inside another task, has this name"


@pytest.mark.parametrize("taken", [ALICE, X, Y])
def test_a_child_under_the_name_of_anybody_else_is_dismissed_and_its_cluster_stays(parent: Checked, taken: Incarnation):
    parent.handle(cluster(Y))
    fields = (("cluster", "x"), ("child", f"{taken:016x}"))
    assert parent.handle([says(Resumed(), child=taken)]) == [
        Note("warning", "a client inside a task has the name of another", fields),
        Send(X, TellChild(taken, Goodbye(TAKEN))),
    ]
    assert list(parent.managers.workers.clusters) == [X, Y]


def test_a_child_under_the_name_of_another_clusters_is_dismissed_and_that_one_works_on(family: Checked):
    family.handle(cluster(Y))
    assert said(family.handle([says(Resumed(), peer=Y)])) == [Send(Y, TellChild(CHILD, Goodbye(TAKEN)))]
    assert family.handle([finishes(X, run_id(2), values(0, 1))]) == [tell(results_for(C, values(0, 1)))]


def test_the_goodbye_for_a_child_that_was_dismissed_is_not_anybody_elses(family: Checked):
    family.handle(cluster(Y))
    assert family.handle([says(Goodbye(""), peer=Y), says(Goodbye(""), child=BOB)]) == []
    assert list(family.managers.clients.clients) == [ALICE, BOB, CHILD]


def test_a_peer_has_its_name_back_from_a_child_that_has_taken_it(family: Checked):
    commands = family.handle([PeerJoined(CHILD, "client")])
    assert commands == [
        Note(
            "warning", "a client inside a task has the name of another", (("cluster", "x"), ("child", f"{CHILD:016x}"))
        ),
        Send(X, TellChild(CHILD, Goodbye("another peer has this name"))),
        *(Send(CHILD, message) for message in GREETING),
        cancel_at(X, run_id(2), (0, 1)),
    ]
    assert family.managers.clients.clients[CHILD].parent is None
    assert said(family.handle([says(Resumed())])) == [Send(X, TellChild(CHILD, Goodbye(TAKEN)))]


def test_a_child_that_breaks_the_rules_is_let_out_alone(family: Checked):
    reason = f"batch {C} is closed with 9 of 2 calls"
    assert family.handle([says(CloseBatch(C, 9))]) == [
        Note("warning", "a client inside a task broke the rules", (("reason", reason),)),
        Send(X, TellChild(CHILD, Goodbye(reason))),
        cancel_at(X, run_id(2), (0, 1)),
    ]


def test_a_client_outside_of_tasks_cannot_go_before_others(core: Checked):
    for options in (NESTED, BatchOptions(depth=1), BatchOptions(root=BOB)):
        name = BatchId(Incarnation(50), 1)
        commands = core.handle([client(name.owner), opens(name, options)])
        assert [type(command) for command in commands if isinstance(command, CutOff)] == [CutOff]


def test_a_task_may_not_stop_the_scheduler(parent: Checked):
    refusal = ShutdownAnswer("a task may not stop the scheduler that has it run")
    answer = parent.handle([says(ShutdownScheduler())])
    assert answer == [*greeting(), Send(X, TellChild(CHILD, refusal))]


def test_what_a_child_gives_up_is_cancelled(family: Checked):
    done = family.handle([says(cancels(C, (0, 2)).message)])
    assert done == [tell(cancelled_for(C, (1, 2))), cancel_at(X, run_id(2), (0, 1))]


# ---- quarantine


def test_a_task_that_must_be_alone_lets_others_beside_it_when_it_waits_for_them(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 2), *maps(A, 1)])
    empty.handle([begins(X, (RUN, 0))])
    empty.handle([PeerLost(X, "cut"), *cluster(Y, 2)])
    assert empty.handle(maps(BatchId(ALICE, 2), 1)) == []
    again = run_id(2)
    commands = said(empty.handle(through(maps(C, 1, NESTED), run=again, peer=Y)))
    assert span_for(Y, run_id(3), C, 0, 1, NESTED) in commands


def test_a_child_that_lost_its_host_need_not_be_alone(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 1), *maps(A, 1)])
    empty.handle([*through(maps(C, 1, NESTED)), *cluster(Y, 1)])
    empty.handle([begins(Y, (run_id(2), 0)), ready(X, 2)])
    commands = said(empty.handle([PeerLost(Y, "cut")]))
    assert commands[-1] == span_for(X, run_id(3), C, 0, 1, NESTED)


def test_no_cluster_is_kept_empty_while_tasks_of_it_wait_for_others(empty: Checked):
    empty.handle([client(ALICE), client(BOB), *cluster(X, 1), *maps(A, 1)])
    empty.handle([says(Resumed()), *cluster(Y, 1), *maps(B, 1)])
    empty.handle([begins(Y, (run_id(2), 0))])
    empty.handle([PeerLost(Y, "cut"), ready(X, 2)])
    assert states(empty, B) == [(0, 1, "queued")]
    placed = empty.handle(through(maps(C, 1, NESTED)))
    assert placed == [span_for(X, run_id(3), C, 0, 1, NESTED)]
    empty.handle([says(Goodbye("")), confirms(X, run_id(3), (0, 1))])
    assert empty.handle([finishes(X, RUN, values(0, 1))])[-1] == span_for(X, run_id(4), B, 0, 1, alone=True)


# ---- a scheduler that knows nothing


def test_a_child_comes_back_with_its_cluster_before_the_client_of_its_parent():
    core = Checked()
    own = run_id(6, OLD.epoch)
    core.handle(cluster(X))
    core.handle([holds(X, held(A, OLD, running=(0,)), held(C, own, running=(0,)))])
    resumed = resumes(C, 1, (0, 1), options=NESTED)
    assert core.handle(through([resumed, Received(CHILD, Resumed())], run=OLD)) == greeting()
    assert states(core, C) == [(0, 1, "running")]
    core.handle([client(ALICE), resumes(A, 1, (0, 1)), Received(ALICE, Resumed())])
    assert states(core) == [(0, 1, "running")]
    assert core.handle([finishes(X, own, values(0, 1))]) == [tell(results_for(C, values(0, 1)))]


def test_what_nobody_has_of_a_child_that_came_back_is_asked_of_it():
    core = Checked()
    core.handle([client(ALICE), *cluster(X), resumes(A, 1, (0, 1)), holds(X, held(A, OLD, running=(0,)))])
    core.handle(through([resumes(C, 1, (0, 1), options=NESTED)], run=OLD))
    assert Send(X, TellChild(CHILD, NeedFunction(F))) in core.handle([], now=5.0)
    assert core.handle(through([defines()], run=OLD), now=5.0) == [tell(need_tasks(C, 0, 1))]
    placed = core.handle(through([appends(C, 0, 1)], run=OLD), now=5.0)
    assert placed == [function_for(X), span_for(X, run_id(1), C, 0, 1, NESTED)]


def test_a_child_whose_parent_is_not_known_again_yet_takes_no_turns_but_its_own():
    core = Checked()
    core.handle([client(ALICE), client(BOB), *cluster(X, 1), holds(X, held(A, OLD, running=(0,)))])
    for n, root in enumerate((BOB, ALICE), 1):
        options = msgspec.structs.replace(DEEPER, parent=TaskId(A, 0), root=root)
        core.handle(through([opens(BatchId(CHILD, n), options)], run=OLD))
        assert core.managers.tasks.batches[BatchId(CHILD, n)].options == msgspec.structs.replace(options, root=0)
    elsewhere = msgspec.structs.replace(NESTED, parent=TaskId(A, 1))
    answer = said(core.handle(through([opens(BatchId(CHILD, 3), elsewhere)], run=OLD)))
    assert isinstance(answer[-1].message, TellChild)
    assert isinstance(answer[-1].message.message, Goodbye)


def test_below_tasks_whose_nesting_is_not_known_again_yet_nobody_is_let_out_for_naming_their_root():
    core = Checked()
    own = run_id(6, OLD.epoch)
    core.handle([client(ALICE), *cluster(X), holds(X, held(A, OLD, running=(0,)), held(C, own, running=(0,)))])
    child = msgspec.structs.replace(DEEPER, parent=TaskId(A, 0), root=BOB)
    core.handle(through([resumes(C, 1, (0, 1), options=child), Received(CHILD, Resumed())], run=OLD))
    grandchild = msgspec.structs.replace(DEEPER, depth=3, root=BOB)
    core.handle(through([resumes(BatchId(OTHER, 1), 1, (0, 1), options=grandchild)], OTHER, own))
    assert core.managers.tasks.batches[BatchId(OTHER, 1)].options == msgspec.structs.replace(grandchild, root=0)


# ---- parents that wait with something else


@pytest.fixture
def full(empty: Checked) -> Checked:
    """One where Alice's call has the only slot, and has submitted another."""
    empty.handle([client(ALICE), *cluster(X, 1), *maps(A, 1)])
    empty.handle(through(maps(C, 1, NESTED)), now=0.0)
    return empty


def test_a_parent_whose_child_cannot_begin_is_parked_after_half_a_second(full: Checked):
    assert full.handle([], now=0.1) == [began_for(A, (0, 1))]
    assert full.next_deadline() == 0.25
    assert full.handle([], now=0.25) == []
    assert full.handle([], now=0.5) == []
    assert full.handle([], now=0.75) == [Send(X, ParkParent(CHILD, parked=True))]
    assert full.handle([], now=1.0) == []


def test_it_is_parked_no_longer_when_nothing_is_left_to_wait_for(full: Checked):
    for now in (0.25, 0.5, 0.75):
        full.handle([], now)
    assert full.handle([ready(X, 2)], now=0.8) == [span_for(X, run_id(2), C, 0, 1, NESTED)]
    assert full.handle([begins(X, (RUN, 0), (run_id(2), 0))], now=1.0) == []
    full.handle([finishes(X, run_id(2), values(0, 1), (RUN, 0))], now=1.2)
    assert full.handle([], now=1.5)[-1] == Send(X, ParkParent(CHILD, parked=False))


def test_a_parent_whose_children_begin_one_after_another_is_left_alone(empty: Checked):
    empty.handle([client(ALICE), *cluster(X, 2), *maps(A, 1)])
    empty.handle(through(maps(C, 9, NESTED)), now=0.0)
    for number in range(8):
        now = 0.3 * (number + 1)
        commands = empty.handle([finishes(X, run_id(2 + number), values(number, number + 1), (RUN, 0))], now)
        assert not any(isinstance(one, Send) and isinstance(one.message, ParkParent) for one in commands)


def test_nobody_is_looked_at_once_all_children_are_gone(full: Checked):
    full.handle([says(Goodbye(""))], now=0.1)
    assert full.handle([], now=0.25) == []
    assert full.next_deadline() is None


def test_a_clock_that_stood_still_is_no_hunger(full: Checked):
    full.handle([], now=0.1)
    full.handle([Slept(10.0)], now=10.1)
    assert full.next_deadline() == 10.25
