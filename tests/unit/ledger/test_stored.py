"""Values that lie where they were made: their tasks are done for the caller, and run again if they are lost."""

from collections.abc import Sequence

import pytest

from scaler.ids import BatchId, Incarnation, ObjectId, TaskId
from scaler.ledger import inputs
from scaler.ledger.events import (
    ClearAsked,
    Event,
    Fetched,
    KnownOutcome,
    LetGo,
    NotThere,
    Received,
    Reject,
    Resolve,
    Say,
    TasksAppended,
    Unwanted,
    ValueAsked,
)
from scaler.pieces import STEP, WINDOW
from scaler.protocol import (
    FetchChunks,
    InputKnown,
    NeedInputs,
    ObjectChunk,
    ObjectLocated,
    ObjectsLost,
    Results,
    Resume,
    Taken,
    TasksFailed,
)
from scaler.protocol.columns import FAILED, MAX_FRAME_BYTES, RAISED, REFERENCE, VALUE, ResultColumn
from scaler.protocol.references import Reference, record_of
from tests.unit.core.examples import outcomes
from tests.unit.ledger.examples import (
    FAILURE,
    OPTIONS,
    UP,
    UP_ANEW,
    A,
    B,
    C,
    F,
    Watched,
    arguments,
    mapped,
    opened,
    spans,
)

X, Y = Incarnation(11), Incarnation(12)
LATER = 10.0


def stored(owner: int, n: int = 1) -> tuple[int, bytes]:
    return REFERENCE, record_of(Reference(ObjectId(Incarnation(owner), n), 5, f"/{owner}/{n}", b"token"))


class Holder:
    """Holds what a test says is held."""

    def __init__(self) -> None:
        self.held: dict[TaskId, KnownOutcome] = {}
        self.replaced: dict[TaskId, KnownOutcome] = {}

    def hold(self, task: TaskId, outcome: KnownOutcome) -> object:
        self.held[task] = outcome
        return f"held {task}"

    def replace(self, task: TaskId, outcome: KnownOutcome) -> None:
        self.replaced[task] = outcome

    def is_held(self, task: TaskId) -> bool:
        return task in self.held


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def ledger(holder: Holder) -> Watched:
    ledger = Watched(holder)
    ledger.handle([UP, *mapped(0, 2)])
    return ledger


def column_of(items: Sequence[tuple[int, bytes]], lo: int = 0) -> ResultColumn:
    return outcomes(lo, items)


def came(items: Sequence[tuple[int, bytes]], lo: int = 0, batch: BatchId = A) -> Received:
    column = column_of(items, lo)
    return Received(Results(batch, lo, column.hi, column.base, "host", 1), column.frames())


def let_go(ledger: Watched, holder: Holder, index: int = 0, batch: BatchId = A) -> list[object]:
    holder.held.pop(TaskId(batch, index), None)
    ledger.handle([LetGo(TaskId(batch, index))])
    return list(ledger.handle([], LATER))


HERE, ELSEWHERE = stored(X), stored(Y)


def test_what_lies_elsewhere_is_told_at_once_and_taken_when_it_is_let_go(ledger: Watched, holder: Holder):
    [told] = ledger.handle([came([HERE, stored(X, 2)])])
    assert isinstance(told, Resolve)
    assert told.kept == {0: f"held {TaskId(A, 0)}", 1: f"held {TaskId(A, 1)}"}
    assert ledger.handle([], LATER) == []
    assert let_go(ledger, holder) == [Say(Taken(A, spans((0, 1))))]
    assert let_go(ledger, holder, 1) == [Say(Taken(A, spans((1, 2))))]
    assert not ledger._batches


def test_what_is_held_anew_before_it_was_heard_that_it_was_let_go_stays(ledger: Watched, holder: Holder):
    ledger.handle([came([HERE])])
    assert holder.is_held(TaskId(A, 0))
    ledger.handle([LetGo(TaskId(A, 0))])
    assert ledger.handle([], LATER) == []


def test_others_in_the_same_message_are_taken_as_they_come(ledger: Watched):
    told = ledger.handle([came([HERE, (VALUE, b"v")])])
    assert [(one.column.lo, one.column.hi) for one in told if isinstance(one, Resolve)] == [(0, 1), (1, 2)]
    assert ledger.handle([], LATER) == [Say(Taken(A, spans((1, 2))))]


def test_the_same_again_is_no_news_and_another_replaces_it(ledger: Watched, holder: Holder):
    ledger.handle([came([HERE])])
    assert ledger.handle([came([HERE])]) == []
    assert ledger.handle([came([ELSEWHERE])]) == []
    assert holder.held[TaskId(A, 0)].frames == (ELSEWHERE[1],)
    assert ledger.handle([], LATER) == []


@pytest.mark.parametrize("anew", [(VALUE, b"v"), (RAISED, b"!")])
def test_what_was_lost_and_comes_by_value_is_told_by_what_is_held(
    ledger: Watched, holder: Holder, anew: tuple[int, bytes]
):
    ledger.handle([came([HERE])])
    assert ledger.handle([came([anew])]) == []
    assert holder.replaced == {TaskId(A, 0): KnownOutcome(anew[0], (anew[1],))}
    assert ledger.handle([], LATER) == [Say(Taken(A, spans((0, 1))))]


def test_what_was_lost_and_cannot_be_made_anew_is_told_by_what_is_held(ledger: Watched, holder: Holder):
    ledger.handle([came([HERE])])
    told = ledger.handle([Received(TasksFailed(A, spans((0, 2)), FAILURE))])
    assert [one.ranges for one in told if isinstance(one, Reject)] == [spans((1, 2))]
    assert holder.replaced[TaskId(A, 0)].status == FAILED


def test_what_nobody_waits_for_is_taken_as_it_comes(ledger: Watched):
    ledger.handle([Unwanted(A, spans((0, 1)))])
    assert ledger.handle([came([HERE])]) == []
    assert ledger.handle([], LATER) == [Say(Taken(A, spans((0, 1))))]


def test_what_is_given_up_goes_when_it_is_let_go_and_what_is_cleared_without_a_word(ledger: Watched, holder: Holder):
    ledger.handle([came([HERE, stored(X, 2)])])
    assert ledger.handle([Unwanted(A, spans((0, 1)))]) == []
    assert let_go(ledger, holder) == [Say(Taken(A, spans((0, 1))))]
    ledger.handle([ClearAsked()])
    assert let_go(ledger, holder, 1) == []


def test_a_new_scheduler_is_told_that_it_is_waited_for(ledger: Watched):
    ledger.handle([came([HERE])])
    assert Say(Resume(A, F, OPTIONS, 2, spans((0, 2)))) in ledger.handle([UP_ANEW])
    assert ledger.handle([came([HERE])]) == []


def needing(index: int = 0, known: Sequence[tuple[TaskId, KnownOutcome]] = ()) -> list[Event]:
    """A batch of one call, which needs this task of A."""
    return [*opened(B), TasksAppended(B, arguments(0, 1), {0: (TaskId(A, index),)}, tuple(known))]


def test_tasks_that_need_it_are_told_where_it_lies_and_where_it_lies_anew(ledger: Watched, holder: Holder):
    ledger.handle(needing())
    ledger.handle([came([HERE])])
    asked = Received(NeedInputs((TaskId(A, 0),)))
    assert ledger.handle([asked]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (HERE[1],))]
    ledger.handle([came([ELSEWHERE])])
    assert ledger.handle([asked]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (ELSEWHERE[1],))]
    ledger.handle([came([(VALUE, b"v")])])
    assert ledger.handle([asked]) == [Say(InputKnown(TaskId(A, 0), VALUE, 1), (b"v",))]
    assert holder.replaced


def test_those_that_come_later_are_told_too(ledger: Watched):
    ledger.handle([came([HERE])])
    outcome = KnownOutcome(REFERENCE, (HERE[1],), kept="held")
    ledger.handle(needing(known=[(TaskId(A, 0), outcome)]))
    asked = Received(NeedInputs((TaskId(A, 0),)))
    assert ledger.handle([asked]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (HERE[1],))]
    ledger.handle([came([ELSEWHERE])])
    assert ledger.handle([asked]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (ELSEWHERE[1],))]


def test_what_is_needed_only_if_others_are_lost_goes_when_it_takes_too_much(
    ledger: Watched, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inputs, "SPARE_BYTES", 7)
    ledger.handle([*opened(B), TasksAppended(B, arguments(0, 2), {n: (TaskId(A, n),) for n in range(2)})])
    ledger.handle([came([HERE, stored(X, 2)])])
    ledger.handle([came([stored(Y, 1)], 0, B)])
    asked = [Received(NeedInputs((TaskId(A, n),))) for n in range(2)]
    assert ledger.handle(asked[:1]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (HERE[1],))]
    ledger.handle([came([stored(Y, 2)], 1, B)])
    told = [one.message for one in ledger.handle(asked) if isinstance(one, Say)]
    assert [(one.task.index, one.status) for one in told if isinstance(one, InputKnown)] == [
        (0, FAILED),
        (1, REFERENCE),
    ]
    anew = KnownOutcome(REFERENCE, (HERE[1],), kept="held")
    ledger.handle([*opened(C), TasksAppended(C, arguments(0, 1), {0: (TaskId(A, 0),)}, ((TaskId(A, 0), anew),))])
    assert ledger.handle(asked[:1]) == [Say(InputKnown(TaskId(A, 0), REFERENCE, 1), (HERE[1],))]


def test_what_names_nothing_is_left_to_whoever_opens_it(ledger: Watched):
    [told] = ledger.handle([came([(REFERENCE, b"nonsense")])])
    assert isinstance(told, Resolve)


# ---- pieces

NAME = ObjectId(X, 1)
LARGE = (WINDOW + 4) * MAX_FRAME_BYTES


def test_pieces_are_asked_for_a_few_at_a_time(ledger: Watched):
    assert ledger.handle([ValueAsked(NAME, LARGE)]) == [
        Say(FetchChunks(NAME, 0, STEP)),
        Say(FetchChunks(NAME, STEP, STEP)),
    ]
    chunk = Received(ObjectChunk(NAME, 0, LARGE), (b"piece",))
    assert ledger.handle([chunk]) == [Fetched(NAME, 0, (b"piece",))]
    assert ledger.handle([chunk]) == []
    for n in range(1, 4):
        asked = ledger.handle([Received(ObjectChunk(NAME, n, LARGE), (b"piece",))])
    assert asked[-1] == Say(FetchChunks(NAME, 2 * STEP, 4))


def test_what_is_nowhere_any_more_is_told(ledger: Watched):
    ledger.handle([ValueAsked(NAME, 5)])
    assert ledger.handle([Received(ObjectsLost((NAME, ObjectId(Y, 1))))]) == [NotThere(NAME)]
    assert ledger.handle([Received(ObjectChunk(NAME, 0, 5), (b"piece",))]) == []


def test_what_was_asked_for_on_an_old_link_or_cannot_be_had_for_a_while_is_asked_for_again(ledger: Watched):
    asked = Say(FetchChunks(NAME, 0, 1))
    assert ledger.handle([ValueAsked(NAME, 5)]) == [asked]
    assert asked in ledger.handle([UP_ANEW])
    assert ledger.handle([Received(ObjectLocated(NAME, 0, ()))]) == []
    assert ledger.handle([Received(ObjectLocated(NAME, 5, ()))]) == [asked]
    assert ledger.handle([ValueAsked(NAME, 0)]) == []
    assert ledger.handle([Received(ObjectLocated(NAME, 5, ()))]) == []
