"""Questions to the scheduler that other threads wait for: each who asks waits in a queue of his own."""

import copy
from queue import SimpleQueue
from threading import Lock
from typing import Protocol, assert_never

from scaler.client.waits import require_may_wait
from scaler.errors import ScalerError
from scaler.ledger.events import DropAsked, ExplainAsked, ShutdownAsked, WorksAsked
from scaler.protocol import Explanation, ShutdownAnswer, WorkDropped, WorksListed
from scaler.protocol.work_messages import WorkSummary

Question = ExplainAsked | ShutdownAsked | WorksAsked | DropAsked
Answer = Explanation | ShutdownAnswer | WorksListed | WorkDropped


class Line(Protocol):
    """The I/O thread."""

    @property
    def error(self) -> ScalerError:
        """Why nobody answers any more."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether that is so."""
        ...

    def post(self, *events: Question) -> None:
        """Ask the ledger."""
        ...


class Questions:
    """Who waits for which answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Question, list[SimpleQueue[Answer | ScalerError]]] = {}
        #: the first parts of a list
        self._listed: dict[str, WorkSummary] = {}

    def ask(self, question: Question, line: Line) -> Answer:
        """What the scheduler answers; raises why it never will."""
        require_may_wait("asking the scheduler")
        queue = self.wait_for(question)
        line.post(question)
        if line.is_over:
            self.abort(line.error)
        answer = queue.get()
        if isinstance(answer, ScalerError):
            raise copy.copy(answer)
        return answer

    def wait_for(self, question: Question) -> "SimpleQueue[Answer | ScalerError]":
        """Where the answer to a question that is about to be asked will be put."""
        queue: SimpleQueue[Answer | ScalerError] = SimpleQueue()
        with self._lock:
            self._waiting.setdefault(question, []).append(queue)
        return queue

    def answered(self, answer: Answer) -> None:
        """The scheduler has answered: all who asked this have it, a list once it is whole."""
        if isinstance(answer, WorksListed):
            self._listed |= {work.name: work for work in answer.works}
            if answer.more:
                return
            answer = WorksListed(tuple(self._listed.values()))
            self._listed = {}
        with self._lock:
            waiting = self._waiting.pop(_question_of(answer), [])
        for queue in waiting:
            queue.put(answer)

    def abort(self, error: ScalerError) -> None:
        """No answer will come any more."""
        with self._lock:
            waiting = [queue for queues in self._waiting.values() for queue in queues]
            self._waiting.clear()
        for queue in waiting:
            queue.put(error)


def _question_of(answer: Answer) -> Question:
    match answer:
        case Explanation(task):
            return ExplainAsked(task)
        case ShutdownAnswer():
            return ShutdownAsked()
        case WorksListed():
            return WorksAsked()
        case WorkDropped(name):
            return DropAsked(name)
        case _:
            assert_never(answer)
