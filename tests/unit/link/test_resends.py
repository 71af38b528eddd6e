"""How often a link says something again to a peer that may not be reading at all."""

import pytest

from scaler.ids import BatchId, Incarnation
from scaler.link.link import ASK_AGAIN_S, FIRST_RESEND_PAUSE_S, LAST_RESEND_PAUSE_S, Link
from scaler.protocol import CloseBatch, Heartbeat, ResendFrom
from scaler.protocol.codec import Header

ANN = Incarnation(7)
ASKED = Header(0, 0, ResendFrom(1))


def link_with_one_message() -> Link:
    link = Link()
    link.attach(0)
    link.send(CloseBatch(BatchId(ANN, 1), 5))
    return link


def resent(link: Link, *times: float) -> list[float]:
    """The times of these at which asking for everything brings something."""
    return [now for now in times if link.receive(ASKED, (), now)[1]]


def test_a_peer_that_asks_again_and_again_and_takes_nothing_is_answered_ever_more_rarely():
    link = link_with_one_message()
    every_ms = [number / 1000 for number in range(20_000)]
    answered = resent(link, *every_ms)
    assert answered[:5] == pytest.approx([0.0, 0.1, 0.3, 0.7, 1.5], abs=0.01)
    assert len(answered) <= 7 + 20 / LAST_RESEND_PAUSE_S


def test_a_peer_that_misses_its_answer_and_asks_after_its_own_pause_is_answered():
    link = link_with_one_message()
    assert resent(link, 0.0, ASK_AGAIN_S) == [0.0, ASK_AGAIN_S]


@pytest.mark.parametrize("mends", ["it acknowledges", "it connects anew"])
def test_a_peer_that_takes_something_is_answered_at_once_again(mends: str):
    link = link_with_one_message()
    resent(link, *(number / 10 for number in range(20)))
    link.send(CloseBatch(BatchId(ANN, 2), 5))
    if mends == "it acknowledges":
        link.receive(Header(0, 1, Heartbeat(0)), (), 2.0)
        late = [
            now for now in (10.0, 10.0 + FIRST_RESEND_PAUSE_S) if link.receive(Header(0, 1, ResendFrom(2)), (), now)[1]
        ]
        assert len(late) == 2
    else:
        link.attach(1)
        assert link.receive(Header(0, 1, ResendFrom(2)), (), 2.0)[1]
