"""The scheduler's turns: how much one takes in, and when the next is due."""

from scaler.core import events as core
from scaler.protocol import ClearClient, Goodbye
from scaler.protocol.codec import MAX_BUNDLED
from scaler.scheduler.exchange import DRAIN_STEP, MAX_EVENTS, MAX_HEADERS
from tests.unit.scheduler.examples import ANN, BOB, Scheduler, told


def test_no_more_is_drained_than_one_turn_may_take(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(2 * MAX_EVENTS):
        peer.say(ClearClient())
    assert fake.turn()
    assert len(told(fake)) == 1 + MAX_EVENTS
    assert not fake.turn()
    assert len(told(fake)) == 2 * MAX_EVENTS + 1


def test_a_turn_that_has_drained_for_long_enough_goes_on_with_what_it_has(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(MAX_EVENTS):
        peer.say(ClearClient())
    times = iter([100.0, 100.002, 100.01])
    assert fake.exchange.turn(lambda: next(times))
    assert len(told(fake)) == 1 + 2 * DRAIN_STEP


def test_a_flood_of_bundles_is_taken_in_over_as_many_turns_as_it_needs(fake: Scheduler):
    ann, bob = fake.dial(ANN), fake.dial(BOB)
    before = len(told(fake))
    for _ in range(5):
        ann.say(*[ClearClient()] * MAX_BUNDLED)
    bob.say(Goodbye())
    ann.dialer.close()
    taken_in = []
    while fake.turn():
        taken_in.append(len(told(fake)) - before)
    assert taken_in == [MAX_BUNDLED * turn for turn in range(1, 6)]
    assert MAX_HEADERS <= MAX_BUNDLED
    assert told(fake)[before + 5 * MAX_BUNDLED :] == [core.Received(BOB, Goodbye()), core.PeerLost(BOB, "goodbye")]


def test_what_comes_from_elsewhere_does_not_wait_for_the_end_of_a_flood(fake: Scheduler):
    ann = fake.dial(ANN)
    for _ in range(2 * DRAIN_STEP):
        ann.say(*[ClearClient()] * MAX_BUNDLED)
    assert fake.turn()
    assert fake.turn(core.StopAsked("why"))
    assert fake.core.told[-1] == (core.StopAsked("why"), *[core.Received(ANN, ClearClient())] * MAX_BUNDLED)


def test_what_is_left_of_a_peer_that_was_cut_off_is_nobodys(fake: Scheduler):
    ann = fake.dial(ANN)
    ann.say(*[ClearClient()] * MAX_BUNDLED)
    ann.say(ClearClient())
    fake.core.asks = [core.CutOff(ANN, "")]
    assert fake.turn()
    before = len(told(fake))
    assert not fake.turn()
    assert told(fake)[before:] == []
    assert fake.lines == []


def test_a_step_that_is_full_may_be_the_last(fake: Scheduler):
    peer = fake.dial(ANN)
    for _ in range(DRAIN_STEP):
        peer.say(ClearClient())
    assert not fake.turn()
    assert len(told(fake)) == 1 + DRAIN_STEP


def test_links_and_core_hear_that_the_process_stood_still_before_all_else(fake: Scheduler):
    fake.dial(ANN)
    fake.turn()
    fake.now += 1000.0
    fake.turn(core.StopAsked("why"), slept_s=990.0)
    assert told(fake)[1:] == [core.Slept(990.0), core.StopAsked("why")]


def test_the_next_turn_is_due_when_anything_is(fake: Scheduler):
    assert fake.exchange.next_deadline() is None
    fake.core.deadline = 500.0
    assert fake.exchange.next_deadline() == 500.0
    fake.dial(ANN)
    fake.turn()
    due = fake.exchange.next_deadline()
    assert due is not None
    assert due <= 160.0
    fake.publisher.subscribe()
    fake.turn()
    assert fake.exchange.next_deadline() == 101.0
