import pytest

from scaler.ids import FunctionId
from scaler.ledger.events import (
    BatchClosed,
    ClearAsked,
    Event,
    FunctionPickled,
    Learned,
    Leaving,
    LinkDown,
    Received,
    Say,
    TasksAppended,
    Unwanted,
)
from scaler.ledger.functions import IDLE_BYTES, IDLE_FUNCTIONS
from scaler.protocol import (
    CloseBatch,
    NeedFunction,
    NeedTasks,
    Resume,
)
from scaler.protocol.code import with_code
from tests.unit.ledger.examples import (
    OPTIONS,
    RESUMED,
    UP,
    UP_AGAIN,
    UP_ANEW,
    A,
    B,
    C,
    F,
    G,
    Watched,
    append,
    append_column,
    arguments,
    define,
    mapped,
    open_batch,
    opened,
    resolve,
    results,
    spans,
)

# ---- another scheduler


def test_a_new_scheduler_is_told_what_is_waited_for_without_arguments(ledger: Watched):
    ledger.handle([*mapped(0, 5), results(A, 1, 3), *opened(B, G), TasksAppended(B, arguments(0, 2))])
    ledger.handle([TasksAppended(B, arguments(2, 4))])
    assert ledger.handle([LinkDown(), *mapped(0, 1, C)]) == []
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, 5, spans((0, 1), (3, 5)))),
        Say(Resume(B, G, OPTIONS, None, spans((0, 4)))),
        RESUMED,
        define(),
        open_batch(C),
        append(0, 1, C),
        Say(CloseBatch(C, 1)),
    ]
    assert ledger.handle([TasksAppended(B, arguments(4, 5)), BatchClosed(B)]) == [
        append(4, 5, B),
        Say(CloseBatch(B, 5)),
    ]


def test_a_batch_half_sent_goes_on_with_the_new_scheduler(ledger: Watched):
    first, second = arguments(0, 10, size=8000), arguments(10, 20, size=8000)
    ledger.handle([*opened(), TasksAppended(A, first), TasksAppended(A, second), BatchClosed(A)], room_bytes=1)
    ledger.handle([results(A, 0, 10), LinkDown()], room_bytes=0)
    assert ledger.handle([UP_ANEW]) == [
        Say(Resume(A, F, OPTIONS, None, ())),
        RESUMED,
        append_column(second),
        Say(CloseBatch(A, 20)),
    ]


def test_a_link_that_is_resumed_goes_on_where_it_was(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([LinkDown()]) == []
    assert ledger.handle(mapped(0, 1, B)) == []
    assert ledger.handle([UP_AGAIN]) == [open_batch(B), append(0, 1, B), Say(CloseBatch(B, 1))]


def test_the_same_scheduler_that_forgot_us_is_told_everything(ledger: Watched):
    ledger.handle(mapped(0, 5))
    assert ledger.handle([LinkDown(), UP]) == [Say(Resume(A, F, OPTIONS, 5, spans((0, 5)))), RESUMED]


def test_what_the_old_scheduler_was_to_be_told_in_the_same_turn_is_not_said_to_the_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    commands = ledger.handle([results(A, 0, 1), Unwanted(A, spans((1, 2))), LinkDown(), UP_ANEW])
    assert commands == [resolve(0, 1), Say(Resume(A, F, OPTIONS, 5, spans((2, 5)))), RESUMED]


def test_acknowledgements_for_an_old_scheduler_are_not_said_to_a_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    ledger.handle([results(A, 0, 1), LinkDown(), UP_ANEW])
    assert ledger.next_deadline() is None


def test_what_an_old_scheduler_asked_for_is_not_said_to_a_new_one(ledger: Watched):
    ledger.handle(mapped(0, 5))
    ledger.handle([Received(NeedTasks(A, 0, 5))], room_bytes=0)
    assert ledger.handle([LinkDown(), UP_ANEW]) == [Say(Resume(A, F, OPTIONS, 5, spans((0, 5)))), RESUMED]


def test_a_new_scheduler_may_ask_for_functions_and_arguments(ledger: Watched):
    ledger.handle([*mapped(0, 5), results(A, 0, 2), LinkDown(), UP_ANEW])
    assert ledger.handle([Received(NeedFunction(F)), Received(NeedTasks(A, 2, 5))]) == [
        define(),
        append_column(arguments(0, 5).slice(2, 5)),
    ]


# ---- functions


def test_functions_without_a_batch_are_kept_for_a_while(ledger: Watched):
    ledger.handle(mapped(0, 1))
    ledger.handle([results(A, 0, 1)])
    others = [FunctionId(number.to_bytes(16, "big")) for number in range(IDLE_FUNCTIONS)]
    ledger.handle([FunctionPickled(function, (b"x",)) for function in others[:-1]])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    ledger.handle([FunctionPickled(F, (b"code",)), FunctionPickled(others[-1], (b"x",))])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]
    wanted = NeedFunction(others[0])
    assert ledger.handle([Received(wanted)]) == [Learned(wanted)]


def test_large_functions_without_a_batch_are_not_gathered(ledger: Watched):
    large = bytes(IDLE_BYTES // 2 + 1)
    ledger.handle([FunctionPickled(F, (large,)), FunctionPickled(G, (large,))])
    assert ledger.handle([Received(NeedFunction(F))]) == [Learned(NeedFunction(F))]
    assert ledger.handle(opened(A, G)) == []


def test_a_function_in_use_is_never_dropped(ledger: Watched):
    ledger.handle([*mapped(0, 2), *mapped(0, 1, B), results(B, 0, 1)])
    others = [FunctionId(number.to_bytes(16, "big")) for number in range(3 * IDLE_FUNCTIONS)]
    ledger.handle([FunctionPickled(function, (b"x",)) for function in others])
    assert ledger.handle([Received(NeedFunction(F))]) == [define()]


# ---- what functions came with

CAME_WITH = (with_code((("mine", G),), b"code"),)


def came_with(function: FunctionId = F) -> FunctionPickled:
    return FunctionPickled(function, CAME_WITH)


def test_what_functions_came_with_goes_before_them_once_to_each_scheduler(ledger: Watched):
    archive, other = FunctionPickled(G, (b"archive",)), FunctionId(b"h" * 16)
    said = ledger.handle([archive, came_with(), *mapped(0, 1)[1:]])
    assert said[:2] == [define(G, b"archive"), define(F, CAME_WITH[0])]
    said = ledger.handle([archive, came_with(other), *mapped(0, 1, B, other)[1:]])
    assert said[0] == define(other, CAME_WITH[0])
    ledger.handle([LinkDown(), UP_ANEW])
    assert ledger.handle([Received(NeedFunction(other))]) == [define(G, b"archive"), define(other, CAME_WITH[0])]
    assert ledger.handle([Received(NeedFunction(F))]) == [define(F, CAME_WITH[0])]


def test_what_functions_came_with_is_kept_as_long_as_they_are(ledger: Watched):
    ledger.handle([FunctionPickled(G, (b"archive",)), came_with(), *opened(A)[1:]])
    others = [FunctionId(number.to_bytes(16, "big")) for number in range(3 * IDLE_FUNCTIONS)]
    ledger.handle([FunctionPickled(function, (b"x",)) for function in others])
    assert ledger.handle([Received(NeedFunction(G))]) == [define(G, b"archive")]
    ledger.handle([BatchClosed(A), *[FunctionPickled(function, (b"x",)) for function in others]])
    assert ledger.handle([Received(NeedFunction(G))]) == [Learned(NeedFunction(G))]


@pytest.mark.parametrize("event", [ClearAsked(), Leaving()])
def test_who_drops_all_or_leaves_keeps_no_function_that_nobody_uses(ledger: Watched, event: Event):
    archive = FunctionPickled(G, (b"archive",))
    ledger.handle([archive, came_with(), *opened(A)[1:], event])
    for function in (F, G):
        wanted = NeedFunction(function)
        assert Learned(wanted) in ledger.handle([Received(wanted)])
