"""Questions to the scheduler that other threads wait for: each who asks waits in a queue of his own."""

from queue import SimpleQueue
from threading import Lock

from scaler.errors import ScalerError
from scaler.ledger.events import ExplainAsked, ShutdownAsked
from scaler.protocol import Explanation, ShutdownAnswer

Question = ExplainAsked | ShutdownAsked
Answer = Explanation | ShutdownAnswer


class Questions:
    """Who waits for which answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Question, list[SimpleQueue[Answer | ScalerError]]] = {}

    def wait_for(self, question: Question) -> "SimpleQueue[Answer | ScalerError]":
        """Where the answer to a question that is about to be asked will be put."""
        queue: SimpleQueue[Answer | ScalerError] = SimpleQueue()
        with self._lock:
            self._waiting.setdefault(question, []).append(queue)
        return queue

    def answered(self, answer: Answer) -> None:
        """The scheduler has answered: all who asked this have it."""
        question = ExplainAsked(answer.task) if isinstance(answer, Explanation) else ShutdownAsked()
        with self._lock:
            waiting = self._waiting.pop(question, [])
        for queue in waiting:
            queue.put(answer)

    def abort(self, error: ScalerError) -> None:
        """No answer will come any more."""
        with self._lock:
            waiting = [queue for queues in self._waiting.values() for queue in queues]
            self._waiting.clear()
        for queue in waiting:
            queue.put(error)
