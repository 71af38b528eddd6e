"""What the client asks of the scheduler beside tasks: said when there is a link.

A scheduler that takes over knows nothing of what the one before was asked: it is asked all that was not answered.
"""

from scaler.ledger.events import Command, Say
from scaler.protocol import ClearClient, ExplainTask, Explanation, ShutdownAnswer, ShutdownScheduler

Request = ClearClient | ShutdownScheduler | ExplainTask


class Requests:
    """All that is to be said, and all that is to be answered."""

    def __init__(self) -> None:
        self._unsaid: list[Request] = []
        self._unanswered: list[ShutdownScheduler | ExplainTask] = []

    def ask(self, request: Request) -> None:
        """To be said next."""
        self._unsaid.append(request)

    def say(self) -> list[Command]:
        """All that is unsaid, now that there is a link."""
        said: list[Command] = [Say(request) for request in self._unsaid]
        self._unanswered += [request for request in self._unsaid if not isinstance(request, ClearClient)]
        self._unsaid.clear()
        return said

    def answered(self, answer: ShutdownAnswer | Explanation) -> None:
        """The scheduler has answered all who asked the same."""
        asked = ExplainTask(answer.task) if isinstance(answer, Explanation) else ShutdownScheduler()
        self._unanswered = [request for request in self._unanswered if request != asked]

    def tell_anew(self) -> None:
        """The present scheduler is a new one: it has nothing of ours to clear, and was asked nothing."""
        unsaid = [request for request in self._unsaid if not isinstance(request, ClearClient)]
        self._unsaid = [*self._unanswered, *unsaid]
        self._unanswered = []
