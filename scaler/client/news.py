"""What the scheduler tells its client that is no task's: tags, readiness, answers; and what of it the user is told."""

import contextlib
import sys
import threading
from collections.abc import Callable

from scaler.client.questions import Questions
from scaler.client.unattended import Unattended
from scaler.errors import ScalerError
from scaler.protocol import (
    Explanation,
    KnownTags,
    ShutdownAnswer,
    TasksWait,
    ToClient,
    WorkDropped,
    WorkersReady,
    WorksListed,
)

#: so many different lines about what no worker offers are told
MOST_TOLD = 100


def tell(text: str) -> None:
    """Say something to the user, on stderr."""
    with contextlib.suppress(OSError, ValueError):  # a stderr that is closed
        print(f"scaler: {text}", file=sys.stderr, flush=True)  # noqa: T201  # for the user


class News:
    """The latest of it, kept by the I/O thread for all others."""

    def __init__(self, address: str) -> None:
        self._address = address
        #: set once a scheduler has said which tags there are, and when none ever will
        self.told = threading.Event()
        #: the tags tasks may ask for; None while any is accepted
        self.known_tags: tuple[str, ...] | None = None
        #: set while some worker can take tasks, and when none ever will
        self.workers_ready = threading.Event()
        self.questions = Questions()
        self._unattended = Unattended()
        #: lines about what no worker offers
        self._said: set[str] = set()

    def learn(self, message: ToClient, now: float) -> None:
        """The scheduler told something."""
        match message:
            case KnownTags(tags):
                self.known_tags = tags
                self.told.set()
            case WorkersReady(ready):
                self._unattended.learned(ready=ready, now=now)
                if ready:
                    self.workers_ready.set()
                else:
                    self.workers_ready.clear()
            case TasksWait(_, text):
                if text not in self._said and len(self._said) < MOST_TOLD:
                    self._said.add(text)
                    tell(f"{text}: tasks that want it wait until one does …")
            case ShutdownAnswer() | Explanation() | WorksListed() | WorkDropped():
                self.questions.answered(message)
            case _:
                return

    def wait_for_workers(self, timeout_s: float | None) -> None:
        """Wait until one can take tasks; `TimeoutError` after so many seconds."""
        if not self.workers_ready.wait(timeout_s):
            raise TimeoutError(f"no worker was ready at {self._address} within {timeout_s:g} s")

    def next_look(self) -> float | None:
        """When to call `look`."""
        return self._unattended.due

    def look(self, work_waits: Callable[[], bool], now: float) -> None:
        """Tell the user once if work waits and no worker is there to do it."""
        due = self._unattended.due
        if due is not None and due <= now and self._unattended.look(work_waits=work_waits(), now=now):
            tell(f"no worker is ready at {self._address}: tasks wait until one connects …")

    def end(self, error: ScalerError) -> None:
        """Nothing more will be told: nobody waits for it any more."""
        self.told.set()
        self.workers_ready.set()
        self.questions.abort(error)
