"""What a cluster reads off the board of a worker that goes on meanwhile."""

from scaler.ids import TicketId
from scaler.worker.board import CURRENT, ENDED
from scaler.worker.handle import running_or_last


class Words(list[int]):
    """The words of a slot; with `ends` its task is over as soon as it was seen to run."""

    def __init__(self, current: int, ended: int, *, ends: bool = False) -> None:
        super().__init__([0] * (max(CURRENT, ENDED) + 1))
        self[CURRENT], self[ENDED] = current, ended
        self._ends = ends

    def __getitem__(self, which: int) -> int:  # type: ignore[override]  # no slices are asked for
        value = super().__getitem__(which)
        if which == CURRENT and self._ends:
            self[CURRENT] = 0
        return value


def word(ticket: int, offset: int) -> int:
    return (ticket << 32) + offset + 1


def test_it_is_what_runs_or_else_what_ran_last():
    running, ended = Words(word(7, 2), word(6, 0)), Words(0, word(5, 3))
    assert running_or_last([running]) == [(TicketId(7), 2)]
    assert running_or_last([ended, running]) == [(TicketId(7), 2)]
    assert running_or_last([ended]) == [(TicketId(5), 3)]
    assert running_or_last([Words(0, 0)]) == []


def test_a_task_that_ends_while_it_is_looked_at_is_what_ran():
    assert running_or_last([Words(word(7, 2), 0, ends=True)]) == [(TicketId(7), 2)]
