"""Objects in the ledger: the scheduler is told of those that live, once each, and anew when it is a new one."""

from scaler.ids import Incarnation, ObjectId
from scaler.ledger.events import Command, ObjectMade, Say
from scaler.ledger.objects import LedgerObjects
from scaler.protocol import ObjectsMade, ReferencesReleased
from scaler.protocol.options import MAX_RANGES
from tests.unit.ledger.examples import RESUMED, UP, UP_ANEW, Watched, mapped

FIRST, SECOND, THIRD = (ObjectId(Incarnation(1), n) for n in (1, 2, 3))


def made(*objects: tuple[ObjectId, int]) -> Command:
    return Say(ObjectsMade(objects))


def released(*objects: ObjectId) -> Command:
    return Say(ReferencesReleased(objects))


def test_each_is_told_of_once_and_let_go_of_once():
    objects = LedgerObjects()
    objects.made(FIRST, 10)
    objects.made(SECOND, 20)
    assert objects.say() == [made((FIRST, 10), (SECOND, 20))]
    objects.freed(FIRST)
    objects.made(THIRD, 30)
    objects.check()
    assert objects.say() == [made((THIRD, 30)), released(FIRST)]
    assert objects.say() == []
    objects.freed(FIRST)
    objects.check()
    assert objects.say() == []


def test_of_one_that_has_gone_before_it_was_told_of_nothing_is_said():
    objects = LedgerObjects()
    objects.made(FIRST, 10)
    objects.freed(FIRST)
    objects.check()
    assert objects.say() == []


def test_a_new_scheduler_is_told_of_all_that_live():
    objects = LedgerObjects()
    for name in (FIRST, SECOND, THIRD):
        objects.made(name, 10)
    objects.say()
    objects.freed(SECOND)
    objects.tell_anew()
    objects.check()
    assert objects.say() == [made((FIRST, 10), (THIRD, 10))]


def test_a_new_scheduler_hears_of_them_before_it_hears_that_all_is_told():
    ledger = Watched()
    ledger.handle([UP, *mapped(0, 1), ObjectMade(FIRST, 10)])
    commands = ledger.handle([UP_ANEW])
    assert commands.index(made((FIRST, 10))) < commands.index(RESUMED)


def test_what_was_cleared_is_let_go_of_by_other_means():
    objects = LedgerObjects()
    objects.made(FIRST, 10)
    objects.say()
    objects.made(SECOND, 10)
    objects.clear()
    objects.freed(FIRST)
    objects.freed(SECOND)
    objects.check()
    assert objects.say() == []


def test_no_message_has_more_than_fit_it():
    objects = LedgerObjects()
    names = [ObjectId(Incarnation(1), n) for n in range(MAX_RANGES + 1)]
    for name in names:
        objects.made(name, 1)
    assert [len(one.message.objects) for one in objects.say()] == [MAX_RANGES, 1]  # type: ignore[union-attr]  # all are said
    for name in names:
        objects.freed(name)
    assert objects.say() == [released(*names[:MAX_RANGES]), released(names[-1])]
