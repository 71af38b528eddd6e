"""The dialling end: it connects, greets, resumes, and gives up when that is all that is left."""

import pytest

from scaler.errors import AuthenticationError, DisconnectedError, ScalerError, SchedulerError, VersionMismatchError
from scaler.ids import BatchId, Epoch, Incarnation, incarnation_of
from scaler.link.dialled import LEAST_HEARTBEAT_S, DialledConfig, DialledLink
from scaler.link.events import (
    Advised,
    Connected,
    ConnectionLost,
    Deliver,
    Dial,
    DialledEvent,
    DialledOutput,
    GaveUp,
    HangUp,
    LinkDown,
    LinkUp,
    Outgoing,
    PacketArrived,
    Slept,
    Transmit,
)
from scaler.link.link import ACK_DELAY_S, ACK_MESSAGES
from scaler.protocol import CloseBatch, Heartbeat, Hello, NeedFunction, Rejected, ResendFrom, Versions
from scaler.protocol.codec import Header, Sendable
from scaler.protocol.columns import Frame

VERSIONS = Versions(1, "3.11", 5, "3.11.7", "0.1.0")
OTHERS = Versions(1, "3.12", 5, "3.12.1", "0.1.0")
SECRET = b"ours"
US = incarnation_of(SECRET)
ADDRESS = "tcp://there:1"
NEED = NeedFunction(b"f" * 16)  # type: ignore[arg-type]  # an id is bytes


class End:
    """A dialling end and its clock."""

    def __init__(self, jitter: float = 0.5, give_up_s: float | None = 60.0, heartbeat_s: float = 2.0) -> None:
        config = DialledConfig("client", "me", SECRET, VERSIONS, heartbeat_s, give_up_s, ADDRESS, "copy the key")
        self.link = DialledLink(config, lambda: jitter)
        self.now = 0.0

    def tell(self, *events: DialledEvent, at: float | None = None) -> list[DialledOutput]:
        if at is not None:
            self.now = at
        return self.link.handle(events, self.now)


def close(n: int) -> CloseBatch:
    return CloseBatch(BatchId(US, n), 5)


def arrived(seq: int, ack: int, message: Sendable, frames: tuple[Frame, ...] = ()) -> PacketArrived:
    return PacketArrived(Header(seq, ack, message), frames)


def hello(epoch: int = 99, received: int = 0, generation: int = 0, *, resumed: bool = False) -> PacketArrived:
    scheduler = Hello("scheduler", Incarnation(epoch), US, received, generation, VERSIONS, resumed=resumed)
    return arrived(0, 0, scheduler)


def greeting(peer: int = 0, received: int = 0, generation: int = 0) -> Transmit:
    ours = Hello("client", US, Incarnation(peer), received, generation, VERSIONS, "me", secret=SECRET)
    return Transmit(0, 0, ours, ())


def beat(sent: int = 0, ack: int = 0) -> Transmit:
    return Transmit(0, ack, Heartbeat(sent), ())


def linked(end: End | None = None, *, at: float = 0.0) -> End:
    """A link stands, with scheduler 99."""
    end = end or End()
    assert end.tell(at=at) == [Dial()]
    assert end.tell(Connected()) == [greeting()]
    assert end.tell(hello()) == [LinkUp(Epoch(99), resumed=False), beat()]
    return end


def gave_up(outputs: list[DialledOutput]) -> ScalerError:
    """The error behind the last outputs, after which nothing is done any more."""
    assert isinstance(outputs[-2], HangUp)
    assert isinstance(outputs[-1], GaveUp)
    assert outputs[-2].reason == str(outputs[-1].error)
    return outputs[-1].error


# ---- connecting


def test_it_dials_at_once_greets_and_is_up_when_it_is_greeted():
    end = End()
    assert end.link.room_bytes == 0
    linked(end)
    assert end.link.room_bytes > 0
    assert end.tell() == []


def test_what_was_lost_is_dialled_again_ever_later_but_no_later_than_a_second():
    end = End()
    end.tell()
    pauses = []
    for _ in range(8):
        assert end.tell(ConnectionLost("no route")) == []
        due = end.link.next_deadline()
        assert due is not None
        pauses.append(due - end.now)
        assert end.tell(at=due - 0.001) == []
        assert end.tell(at=due) == [Dial()]
    assert pauses == pytest.approx([0.1, 0.15, 0.225, 0.3375, 0.50625, 0.759375, 1.0, 1.0])


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.05), (1.0, 0.15)])
def test_pauses_are_spread_by_chance(jitter: float, pause: float):
    end = End(jitter)
    end.tell()
    end.tell(ConnectionLost("no route"))
    assert end.link.next_deadline() == pytest.approx(pause)


def test_an_attempt_that_nobody_answered_has_been_a_pause_already():
    end = End()
    end.tell()
    for _ in range(9):
        end.tell(ConnectionLost("no route"))
        end.tell(at=end.link.next_deadline())
    for lasted, pause in ((0.4, 0.6), (0.95, 0.1), (5.0, 0.1)):
        end.tell(ConnectionLost("no answer"), at=end.now + lasted)
        due = end.link.next_deadline()
        assert due is not None
        assert due - end.now == pytest.approx(pause)
        end.tell(at=due)


def test_pauses_are_short_again_once_a_link_stood():
    end = End()
    end.tell()
    for _ in range(5):
        end.tell(ConnectionLost("no route"))
        end.tell(at=end.link.next_deadline())
    end.tell(Connected())
    end.tell(hello())
    end.tell(ConnectionLost("cut"))
    assert end.link.next_deadline() == pytest.approx(end.now + 0.1)


def test_a_connection_that_is_not_greeted_is_hung_up_and_dialled_again():
    end = End()
    end.tell()
    end.tell(Connected(), at=1.0)
    assert end.link.next_deadline() == 6.0
    assert end.tell(at=6.0) == [HangUp("no greeting")]
    assert end.tell(at=6.1) == [Dial()]


def test_what_arrives_before_the_greeting_or_without_a_connection_is_passed_over():
    end = End()
    assert end.tell(arrived(1, 0, NEED)) == [Dial()]
    assert end.tell(Connected(), arrived(1, 0, NEED)) == [greeting()]
    end.tell(hello())
    assert end.tell(hello(epoch=5)) == []


# ---- talking


def test_messages_go_both_ways_with_numbers_and_acknowledgements():
    end = linked()
    assert end.tell(Outgoing(close(1), (b"x",))) == [Transmit(1, 0, close(1), (b"x",))]
    assert end.tell(arrived(1, 1, NEED, (b"y",))) == [Deliver(NEED, (b"y",))]
    assert end.link.backlog_bytes == 0
    assert end.tell(Outgoing(close(2))) == [Transmit(2, 1, close(2), ())]


def test_what_arrived_is_acknowledged_soon_though_there_is_nothing_to_say():
    end = linked()
    end.tell(arrived(1, 0, NEED), at=1.0)
    assert end.tell(at=1.0 + ACK_DELAY_S - 0.001) == []
    assert end.tell(at=1.0 + ACK_DELAY_S) == [beat(ack=1)]


def test_what_was_said_before_something_arrived_does_not_acknowledge_it():
    end = linked()
    assert end.tell(Outgoing(close(1)), arrived(1, 0, NEED), at=1.0) == [
        Transmit(1, 0, close(1), ()),
        Deliver(NEED, ()),
    ]
    assert end.tell(at=1.0 + ACK_DELAY_S) == [beat(sent=1, ack=1)]


def test_many_messages_are_acknowledged_at_once():
    end = linked()
    many = [arrived(seq, 0, NEED) for seq in range(1, ACK_MESSAGES + 1)]
    assert end.tell(*many) == [*[Deliver(NEED, ())] * ACK_MESSAGES, beat(ack=ACK_MESSAGES)]


def test_a_gap_is_asked_for_and_repeats_are_dropped():
    end = linked()
    assert end.tell(arrived(2, 0, NEED)) == [Transmit(0, 0, ResendFrom(1), ())]
    assert end.tell(arrived(1, 0, NEED), arrived(1, 0, NEED)) == [Deliver(NEED, ()), beat(ack=1)]


def test_what_the_scheduler_misses_is_sent_again():
    end = linked()
    end.tell(Outgoing(close(1)), Outgoing(close(2)))
    assert end.tell(arrived(0, 1, ResendFrom(2))) == [Transmit(2, 0, close(2), ())]


def test_a_heartbeat_goes_when_nothing_else_has_gone_for_a_while():
    end = linked()
    assert end.link.next_deadline() == 2.0
    end.tell(Outgoing(close(1)), at=1.0)
    assert end.tell(at=2.0) == []
    assert end.tell(at=3.0) == [beat(sent=1)]
    assert end.link.next_deadline() == 5.0


def test_heartbeats_come_twice_in_the_time_the_scheduler_lets_its_peers_be_silent():
    end = linked(End(heartbeat_s=100.0))
    assert end.link.next_deadline() == 100.0
    assert end.tell(arrived(0, 0, Heartbeat(0, 60.0)), at=1.0) == [
        Advised(
            f"a heartbeat each 100 s is too seldom: the scheduler at {ADDRESS} gives up whoever is silent for 60 s; "
            "one is sent each 30 s"
        )
    ]
    assert end.link.next_deadline() == 31.0
    assert end.tell(at=31.0) == [beat()]
    assert end.tell(arrived(0, 0, Heartbeat(0, 60.0))) == []
    assert end.link.next_deadline() == 61.0


def test_another_scheduler_may_be_more_patient():
    end = linked(End(heartbeat_s=40.0))
    end.tell(arrived(0, 0, Heartbeat(0, 60.0)))
    assert end.tell(arrived(0, 0, Heartbeat(0, 90.0))) == []
    assert end.tell(at=30.0) == [beat()]
    assert end.link.next_deadline() == 70.0


def test_heartbeats_that_are_often_enough_stay_as_they_are():
    end = linked()
    assert end.tell(arrived(0, 0, Heartbeat(0, 4.0)), arrived(0, 0, Heartbeat())) == []
    assert end.link.next_deadline() == 2.0


def test_no_scheduler_is_so_impatient_that_heartbeats_are_all_there_is():
    end = linked()
    (advice,) = end.tell(arrived(0, 0, Heartbeat(0, 1e-9)))
    assert isinstance(advice, Advised)
    assert end.link.next_deadline() == LEAST_HEARTBEAT_S


# ---- resuming


def test_a_link_goes_on_over_a_new_connection():
    end = linked()
    end.tell(Outgoing(close(1)), Outgoing(close(2)), arrived(1, 0, NEED))
    assert end.tell(ConnectionLost("cut"), at=1.0) == [LinkDown("cut")]
    assert end.tell(Outgoing(close(3))) == []
    assert end.tell(at=1.1) == [Dial()]
    assert end.tell(Connected()) == [greeting(peer=99, received=1)]
    assert end.tell(hello(received=1, resumed=True)) == [
        LinkUp(Epoch(99), resumed=True),
        Transmit(2, 1, close(2), ()),
        Transmit(3, 1, close(3), ()),
        beat(sent=3, ack=1),
    ]
    assert end.tell(arrived(1, 3, NEED), arrived(2, 3, NEED)) == [Deliver(NEED, ()), beat(sent=3, ack=2)]


@pytest.mark.parametrize(
    "answer", [hello(epoch=99, resumed=False), hello(epoch=100, resumed=False), hello(epoch=100, resumed=True)]
)
def test_a_scheduler_that_does_not_know_the_link_begins_another(answer: PacketArrived):
    end = linked()
    end.tell(Outgoing(close(1)), arrived(1, 0, NEED))
    end.tell(ConnectionLost("cut"), at=1.0)
    end.tell(at=1.1)
    end.tell(Connected())
    outputs = end.tell(answer)
    assert outputs == [LinkUp(Epoch(answer.header.message.incarnation), resumed=False), beat()]
    assert end.link.backlog_bytes == 0
    assert end.tell(Outgoing(close(9))) == [Transmit(1, 0, close(9), ())]


def test_an_older_scheduler_is_not_obeyed():
    end = End()
    end.tell()
    end.tell(Connected())
    end.tell(hello(generation=3))
    end.tell(ConnectionLost("cut"), at=1.0)
    end.tell(at=1.1)
    assert end.tell(Connected()) == [greeting(peer=99, generation=3)]
    assert end.tell(hello(epoch=5, generation=2)) == [HangUp("an older scheduler answers there")]
    assert end.tell(at=1.25) == [Dial()]
    end.tell(Connected())
    assert end.tell(hello(epoch=6, generation=4))[0] == LinkUp(Epoch(6), resumed=False)


# ---- giving up


def test_without_a_scheduler_for_too_long_it_gives_up_and_says_what_to_check():
    end = End(give_up_s=10.0)
    end.tell()
    end.tell(ConnectionLost("no route to host"))
    end.tell(at=9.9)
    error = gave_up(end.tell(at=10.0))
    assert isinstance(error, DisconnectedError)
    assert str(error) == (
        f"no scheduler at {ADDRESS} for 10 s (no route to host): "
        "check that it runs, that the address is right and that no firewall is between"
    )
    assert end.tell(Connected(), Outgoing(close(1)), at=11.0) == []
    assert end.link.next_deadline() is None


def test_time_without_a_scheduler_counts_from_the_loss_of_the_last():
    end = linked(End(give_up_s=10.0))
    end.tell(at=50.0)
    end.tell(ConnectionLost("cut"), at=60.0)
    assert end.tell(at=69.9) == [Dial()]
    assert isinstance(gave_up(end.tell(at=70.0)), DisconnectedError)


def test_a_patient_end_never_gives_up():
    end = End(give_up_s=None)
    end.tell()
    end.tell(ConnectionLost("no route"))
    assert end.tell(at=1e9) == [Dial()]


def test_a_key_that_is_refused_three_times_is_given_up_with_help():
    end = End()
    end.tell()
    for _ in range(2):
        end.tell(ConnectionLost("refused", refused=True))
        end.tell(at=end.link.next_deadline())
    error = gave_up(end.tell(ConnectionLost("refused", refused=True)))
    assert isinstance(error, AuthenticationError)
    assert str(error) == f"{ADDRESS}: copy the key"


def test_refusals_count_only_in_a_row():
    end = End()
    end.tell()
    for refused in (True, True, False, True, True):
        assert end.tell(ConnectionLost("no", refused=refused)) == []
        end.tell(at=end.link.next_deadline())
    assert isinstance(gave_up(end.tell(ConnectionLost("no", refused=True))), AuthenticationError)


def test_other_versions_are_told_with_a_table():
    end = End()
    end.tell()
    end.tell(Connected())
    error = gave_up(end.tell(arrived(0, 0, Rejected("version", "theirs", OTHERS))))
    assert isinstance(error, VersionMismatchError)
    assert str(error).splitlines() == [
        "this process and the scheduler do not fit together:",
        "          here   scheduler",
        "protocol  1      1",
        "Python    3.11   3.12   <- differs",
        "pickle    5      5",
        "build     0.1.0  0.1.0",
    ]


def test_a_scheduler_of_other_versions_that_greets_all_the_same_is_not_obeyed():
    end = End()
    end.tell()
    end.tell(Connected())
    scheduler = Hello("scheduler", Incarnation(99), US, 0, 0, OTHERS)
    assert isinstance(gave_up(end.tell(arrived(0, 0, scheduler))), VersionMismatchError)


def test_a_scheduler_that_is_full_is_tried_again():
    end = End()
    end.tell()
    end.tell(Connected(), at=1.0)
    assert end.tell(arrived(0, 0, Rejected("full", "too many peers", VERSIONS))) == [HangUp("too many peers")]
    assert end.tell(at=1.1) == [Dial()]


@pytest.mark.parametrize("code", ["role", "protocol"])
def test_a_scheduler_that_will_not_talk_to_us_is_believed(code: str):
    end = linked()
    error = gave_up(end.tell(arrived(0, 0, Rejected(code, "a client key may not", VERSIONS))))
    assert type(error) is SchedulerError
    assert str(error) == f"the scheduler at {ADDRESS} refuses us: a client key may not"


# ---- time that stood still


def test_nothing_is_late_because_the_process_stood_still():
    end = End(give_up_s=10.0)
    end.tell()
    end.tell(Connected(), at=1.0)
    assert end.tell(Slept(100.0), at=102.0) == []
    assert end.link.next_deadline() == 106.0
    assert end.tell(at=106.0) == [HangUp("no greeting")]
    assert end.tell(at=106.2) == [Dial()]
    end.tell(Connected())
    end.tell(hello())
    assert end.tell(at=108.1) == []
    assert end.tell(at=108.3) == [beat()]
