"""What the client asks of the scheduler beside tasks: said when there is a link.

A scheduler that takes over knows nothing of what the one before was asked: it is asked all that was not answered.
"""

from typing import assert_never

from scaler.ledger.events import Command, DropAsked, Say, ShutdownAsked, WorksAsked
from scaler.protocol import (
    ClearClient,
    DropWork,
    ExplainTask,
    Explanation,
    ListWorks,
    ShutdownAnswer,
    ShutdownScheduler,
    WorkDropped,
    WorksListed,
)

Question = ShutdownScheduler | ExplainTask | ListWorks | DropWork
Request = ClearClient | Question
Answer = ShutdownAnswer | Explanation | WorksListed | WorkDropped


class Requests:
    """All that is to be said, and all that is to be answered."""

    def __init__(self) -> None:
        self._unsaid: list[Request] = []
        self._unanswered: list[Question] = []

    def ask(self, request: Request) -> None:
        """To be said next."""
        self._unsaid.append(request)

    def say(self) -> list[Command]:
        """All that is unsaid, now that there is a link."""
        said: list[Command] = [Say(request) for request in self._unsaid]
        self._unanswered += [request for request in self._unsaid if not isinstance(request, ClearClient)]
        self._unsaid.clear()
        return said

    def answered(self, answer: Answer) -> None:
        """The scheduler has answered all who asked the same; of a list in parts with the last."""
        if isinstance(answer, WorksListed) and answer.more:
            return
        asked = question_of(answer)
        self._unanswered = [request for request in self._unanswered if request != asked]

    def tell_anew(self, *, is_durable: bool = False) -> None:
        """The present scheduler is a new one: it was asked nothing, and only durable work of ours can be cleared."""
        unsaid = [request for request in self._unsaid if is_durable or not isinstance(request, ClearClient)]
        self._unsaid = [*self._unanswered, *unsaid]
        self._unanswered = []


def asked_by(event: ShutdownAsked | WorksAsked | DropAsked) -> Question:
    """What the caller's wish comes to."""
    match event:
        case ShutdownAsked():
            return ShutdownScheduler()
        case WorksAsked():
            return ListWorks()
        case DropAsked(name):
            return DropWork(name)
        case _:
            assert_never(event)


def question_of(answer: Answer) -> Question:
    """What an answer is to."""
    match answer:
        case ShutdownAnswer():
            return ShutdownScheduler()
        case Explanation(task):
            return ExplainTask(task)
        case WorksListed():
            return ListWorks()
        case WorkDropped(name):
            return DropWork(name)
        case _:
            assert_never(answer)
