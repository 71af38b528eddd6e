from scaler.ids import BatchId, Incarnation, TaskId, TicketId
from scaler.worker.agent_events import SlotView
from scaler.worker.source import Source
from scaler.worker.tickets import Tickets

NONE = (TicketId(0), 0)


def at(ticket: int, offset: int = 0) -> tuple[TicketId, int]:
    return TicketId(ticket), offset


def given(slots: int, *tickets: int) -> Tickets:
    """Tickets whose calls begin at a hundred times their number."""
    made = Tickets(slots)
    for ticket in tickets:
        made.give(TicketId(ticket), 100 * ticket)
    return made


def test_words_are_told_as_indices_of_the_batch():
    tickets = given(1, 1, 2)
    assert tickets.look(0, [], at(1, 5), 2.5, NONE) == SlotView(TicketId(1), 105, 2.5, TicketId(0), 0)
    assert tickets.look(0, [TicketId(1)], at(2, 0), 3.0, at(1, 9)) == SlotView(TicketId(2), 200, 3.0, TicketId(1), 109)
    assert tickets.index(TicketId(1), 8) == 108


def test_a_ticket_is_remembered_until_results_of_a_later_one_were_harvested():
    tickets = given(1, 1, 2, 3)
    tickets.look(0, [], at(3, 0), 1.0, at(2, 4))
    assert tickets.index(TicketId(2), 3) == 203
    tickets.look(0, [TicketId(2), TicketId(3)], at(3, 1), 1.0, at(2, 4))
    assert len(tickets) == 1


def test_where_the_last_ticket_ended_is_known_after_it_is_forgotten():
    tickets = given(1, 1, 2)
    tickets.look(0, [TicketId(1)], at(2, 0), 1.0, at(1, 9))
    tickets.look(0, [TicketId(2)], at(2, 5), 1.0, at(1, 9))
    assert len(tickets) == 1
    assert tickets.look(0, [], at(2, 6), 1.0, at(1, 9)) == SlotView(TicketId(2), 206, 1.0, TicketId(1), 109)


def test_all_are_ended_once_the_slots_have_left_the_last_ones():
    tickets = given(2, 1, 2)
    assert not tickets.are_all_ended()
    tickets.look(0, [TicketId(1)], NONE, 0.0, at(1, 1))
    assert not tickets.are_all_ended()
    tickets.look(1, [TicketId(2)], NONE, 0.0, at(2, 1))
    assert tickets.are_all_ended()


def test_what_was_taken_back_is_forgotten():
    tickets = given(1, 1, 2)
    tickets.take_back([TicketId(1), TicketId(2)])
    assert (len(tickets), tickets.are_all_ended()) == (0, True)


def test_a_ticket_stopped_before_its_first_task_and_never_seen_is_forgotten_with_its_neighbours():
    tickets = given(1, 1, 2, 3)
    tickets.look(0, [TicketId(1)], at(1, 1), 1.0, NONE)
    tickets.look(0, [TicketId(1), TicketId(3)], NONE, 0.0, at(3, 1))
    assert (len(tickets), tickets.are_all_ended()) == (1, True)


def test_a_slot_in_a_long_task_keeps_its_ticket_while_another_slot_goes_on():
    tickets = given(2, *range(1, 1001))
    tickets.look(0, [], at(1, 3), 1.0, NONE)
    for number in range(2, 1000):
        tickets.look(1, [TicketId(number)], at(number + 1, 0), 1.0, at(number, 5))
    assert tickets.look(0, [], at(1, 4), 1.0, NONE) == SlotView(TicketId(1), 104, 1.0, TicketId(0), 0)
    assert len(tickets) == 3


def test_who_prints_and_for_whom_is_known_while_the_ticket_is():
    tickets, batch = Tickets(1), BatchId(Incarnation(3), 4)
    tickets.give(TicketId(1), 100, batch, "f", Incarnation(9))
    assert tickets.source(TicketId(1), 5) == Source(batch, 105, "f", Incarnation(9))
    assert tickets.source(TicketId(2), 0) is None


OWNER = Incarnation(3)


def printing(slots: int, *batches: int) -> Tickets:
    """A ticket of each batch, named by the same number."""
    made = Tickets(slots)
    for n in batches:
        made.give(TicketId(n), 0, BatchId(OWNER, n), f"f{n}", Incarnation(9))
    return made


def believed(tickets: Tickets, *batches: int) -> list[int]:
    """The batches of which a mark would be believed."""
    return [n for n in batches if tickets.printed(TaskId(BatchId(OWNER, n), 5)) is not None]


def test_what_is_printed_is_believed_of_what_the_worker_has_alone():
    tickets = printing(1, 1, 2)
    assert tickets.printed(TaskId(BatchId(OWNER, 1), 5)) == Source(BatchId(OWNER, 1), 5, "f1", Incarnation(9))
    assert tickets.printed(TaskId(BatchId(Incarnation(4), 1), 5)) is None
    assert believed(tickets, 1, 2, 3) == [1, 2]
    tickets.take_back([TicketId(2)])
    tickets.has_read_output()
    assert believed(tickets, 1, 2, 3) == [1]


def test_what_has_ended_can_have_printed_until_all_is_read():
    tickets = printing(1, 1, 2, 3)
    tickets.look(0, [], at(2), 0.0, at(1, 1))
    assert believed(tickets, 1, 2, 3) == [1, 2, 3]
    tickets.has_read_output()
    assert believed(tickets, 1, 2, 3) == [2, 3]
    assert tickets.source(TicketId(1), 0) == Source(BatchId(OWNER, 1), 0, "f1", Incarnation(9))
    tickets.look(0, [TicketId(2), TicketId(3)], NONE, 0.0, at(3, 1))
    tickets.look(0, [], NONE, 0.0, at(3, 1))
    assert len(tickets) == 1
    assert believed(tickets, 1, 2, 3) == [2, 3]
    tickets.has_read_output()
    assert believed(tickets, 1, 2, 3) == []


def test_a_batch_is_believed_while_one_of_its_tickets_may_print():
    tickets = printing(2, 1)
    tickets.give(TicketId(2), 1, BatchId(OWNER, 1), "f1", Incarnation(9))
    tickets.look(0, [], NONE, 0.0, at(1, 1))
    tickets.look(1, [], at(2), 0.0, NONE)
    tickets.has_read_output()
    assert believed(tickets, 1) == [1]
    for n in range(3, 3000):
        tickets.give(TicketId(n), 0, BatchId(OWNER, n), "f")
        tickets.look(0, [TicketId(n)], at(n), 0.0, at(1, 1))
    assert believed(tickets, 1) == [1]


def test_batches_are_not_remembered_without_bound():
    tickets = printing(1, *range(1, 3001))
    for n in range(1, 3001):
        tickets.look(0, [TicketId(n)], at(n), 0.0, NONE)
    assert believed(tickets, 1, 2900, 3000) == [2900, 3000]
