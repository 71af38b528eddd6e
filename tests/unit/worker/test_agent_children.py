"""Clients inside tasks, as the cluster passes on what they say and are told, and says goodbye for them."""

from scaler.ids import Epoch, Incarnation, TicketId, WorkerId
from scaler.protocol import (
    ChildLinked,
    ChildSays,
    FromClient,
    Goodbye,
    KnownTags,
    Resumed,
    TellChild,
)
from scaler.worker.agent_events import (
    ChildClosed,
    ChildOpened,
    ChildSaid,
    CloseChild,
    LinkDown,
    LinkUp,
    Look,
    Received,
    Say,
    Tell,
)
from tests.unit.worker.examples import (
    EPOCH,
    IDLE,
    Cluster,
    ended,
    harvested,
    piece,
    ready,
    rests,
    run_id,
    run_span,
    runs,
)

W0 = WorkerId(0)
CHILD, OTHER = Incarnation(41), Incarnation(42)
LATER = Epoch(10)


def opens(child: Incarnation = CHILD, ticket: int = 1, index: int = 0) -> ChildOpened:
    return ChildOpened(W0, child, TicketId(ticket), index)


def says(message: FromClient, link: int = 1, child: Incarnation = CHILD) -> ChildSaid:
    return ChildSaid(W0, child, link, message, (b"frame",))


def passed_on(message: FromClient, index: int = 0, child: Incarnation = CHILD) -> Say:
    return Say(ChildSays(child, run_id(1), index, message), (b"frame",))


def goodbye(reason: str, child: Incarnation = CHILD, index: int = 0) -> Say:
    return Say(ChildSays(child, run_id(1), index, Goodbye(reason)))


def linked(link: int = 1, epoch: Epoch = EPOCH, child: Incarnation = CHILD) -> Tell:
    return Tell(W0, child, ChildLinked(epoch, link))


def parent(threads: int = 1) -> Cluster:
    """One that has given call 0 of a run to its only worker, as ticket 1."""
    cluster = ready(threads=threads)
    cluster.hear(run_span(1, 0, 1))
    return cluster


def family() -> Cluster:
    """One in which that call has a client that has spoken."""
    cluster = parent()
    cluster.tell(opens())
    cluster.tell(says(Resumed()))
    return cluster


def test_a_client_inside_a_task_hears_of_the_link_and_is_passed_on():
    cluster = parent()
    assert cluster.tell(opens()) == [linked()]
    assert cluster.tell(says(Resumed())) == [passed_on(Resumed())]
    tags = KnownTags(("gpu",))
    assert cluster.tell(Received(TellChild(CHILD, tags), (b"x",))) == [Tell(W0, CHILD, tags, (b"x",))]


def test_a_client_whose_task_is_over_is_not_heard():
    cluster = parent()
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert cluster.tell(opens()) == [CloseChild(W0, CHILD)]
    assert cluster.tell(opens(ticket=7)) == [CloseChild(W0, CHILD)]
    assert cluster.tell(says(Resumed())) == []


def test_what_is_said_to_nobody_is_dropped():
    assert parent().tell(Received(TellChild(OTHER, KnownTags(None)))) == []


def test_a_name_is_given_once():
    cluster = family()
    assert cluster.tell(opens()) == [CloseChild(W0, CHILD)]


def test_the_end_of_its_task_is_the_end_of_a_client():
    cluster = family()
    done = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert done[:2] == [CloseChild(W0, CHILD), goodbye("its task has ended")]
    assert cluster.tell(says(Resumed())) == []


def test_no_goodbye_is_said_for_a_client_that_has_said_nothing():
    cluster = parent()
    cluster.tell(opens())
    done = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert done[0] == CloseChild(W0, CHILD)
    assert not any(isinstance(command, Say) and isinstance(command.message, ChildSays) for command in done)


def test_only_the_clients_of_the_task_that_ended_go():
    cluster = ready(threads=2)
    cluster.hear(run_span(1, 0, 2))
    cluster.tell(opens(CHILD, 1, 0), opens(OTHER, 2, 1))
    cluster.tell(says(Resumed()), says(Resumed(), child=OTHER))
    done = cluster.tell(harvested(0, piece(2, 1, 2), slots=(runs(1, 0, 0.0), rests(2, 2))))
    assert done[:2] == [CloseChild(W0, OTHER), goodbye("its task has ended", OTHER, 1)]
    assert cluster.tell(says(Resumed())) == [passed_on(Resumed())]


def test_the_clients_in_a_worker_go_with_it():
    cluster = family()
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=5.0)
    assert goodbye("its worker has ended") in commands
    assert not any(isinstance(command, CloseChild) for command in commands)


def test_a_client_that_closes_its_line_has_left():
    cluster = family()
    assert cluster.tell(ChildClosed(W0, CHILD)) == [CloseChild(W0, CHILD), goodbye("it has closed its line")]
    assert cluster.tell(ChildClosed(W0, CHILD)) == []


def test_what_comes_of_a_worker_that_is_gone_is_no_matter():
    cluster = family()
    cluster.tell(ended(0, slots=(IDLE,)), at=5.0)
    assert cluster.tell(opens(), says(Resumed()), ChildClosed(W0, CHILD)) == []


def test_a_client_that_speaks_up_before_there_is_a_link_waits_for_it():
    cluster = Cluster()
    cluster.tell()
    cluster = parent()
    cluster.tell(LinkDown())
    assert cluster.tell(opens()) == [linked()]


def test_a_link_that_goes_on_is_no_news_to_clients():
    cluster = family()
    cluster.tell(LinkDown())
    assert cluster.tell(LinkUp(EPOCH, resumed=True)) == []
    assert cluster.tell(says(Resumed())) == [passed_on(Resumed())]


def test_on_a_new_link_what_was_said_on_the_one_before_is_dropped():
    cluster = family()
    cluster.tell(LinkDown())
    assert linked(2, LATER) in cluster.tell(LinkUp(LATER, resumed=False))
    assert cluster.tell(says(Resumed(), link=1)) == []
    assert cluster.tell(says(Resumed(), link=2)) == [passed_on(Resumed())]


def test_a_scheduler_that_never_heard_of_a_client_is_told_no_goodbye():
    cluster = family()
    cluster.tell(LinkUp(LATER, resumed=False))
    assert cluster.tell(ChildClosed(W0, CHILD)) == [CloseChild(W0, CHILD)]


def test_a_task_that_is_begun_again_elsewhere_begins_without_its_clients():
    cluster = ready(2)
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(opens(), says(Resumed()))
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0),)), at=5.0)
    assert [command for command in commands if isinstance(command, Look)] == []
    assert goodbye("its worker has ended") in commands
