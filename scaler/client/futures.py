"""The future of one task: a `concurrent.futures.Future` that costs little until somebody waits for it.

A million may be queued at once, so the condition and the lists that the standard library keeps in every future are
made when they are first asked for, and the value stays pickled until then too. State changes only under `_CHANGES`,
and once there is a condition also under that, together with telling who waits. The condition is taken first.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures._base import (
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    LOGGER,
    PENDING,
    RUNNING,
)
from typing import Any, Protocol, TypeVar

from scaler.client.facts import Facts, ProfilingInfo
from scaler.client.raising import not_an_end
from scaler.client.waits import Waiters, is_io_thread, require_may_wait, wait_by, within
from scaler.ids import TaskId
from scaler.ledger.events import Again, KnownOutcome
from scaler.payload import inputs
from scaler.payload.values import Outcome
from scaler.protocol import Cause, Failure
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED

_CHANGES = threading.RLock()  # the handler of a signal may ask for a future too
# so that a forked child finds it free, and whole futures
os.register_at_fork(before=_CHANGES.acquire, after_in_parent=_CHANGES.release, after_in_child=_CHANGES.release)
_MADE_WHEN_ASKED_FOR = frozenset(("_condition", "_waiters", "_done_callbacks"))
_CANCELLED = KnownOutcome(FAILED, (encode_failure(Failure(Cause.CANCELLED, "the task was cancelled")),))
T = TypeVar("T")
_DONE = frozenset((CANCELLED_AND_NOTIFIED, FINISHED))


class Sealed(Protocol):
    """An outcome still in its pickled form."""

    failed: bool

    @property
    def is_far(self) -> bool:
        """Whether it is to be waited for when it is opened."""
        return False

    def open(self) -> Outcome:
        """The value or the exception; threads that ask at the same time may each call it."""
        ...

    def inline(self) -> bytes | None:
        """The bytes of the value, if it is one and small enough to go in every call that needs it."""
        ...

    def outcome(self) -> KnownOutcome:
        """The same for the tasks that need it, as it came; runs no code of users."""
        ...


class Origin(Protocol):
    """Where a future came from: what it tells when nobody wants it any more."""

    def task_id(self, index: int) -> TaskId:
        """The full name of the task."""
        ...

    def unwant(self, index: int) -> None:
        """Say that the result of this task is not waited for."""
        ...

    def explain(self, index: int) -> str:
        """Ask where this task stands."""
        ...

    def ask_to_cancel(self, index: int) -> None:
        """Ask the scheduler to cancel this task if it has not begun."""
        ...

    def acknowledged(self, index: int, timeout: float | None) -> None:
        """Wait until this task is on disk."""
        ...


def futures_of(found: "Iterable[Future[Any]]", caller: str) -> "list[Future[Any]]":
    """What a caller was given, as a list; `TypeError` where anything in it is no future."""
    futures = list(found)
    for future in futures:
        if not isinstance(future, Future):
            raise TypeError(
                f"{caller} takes the futures that submit and map_async return, not {type(future).__name__}; "
                "map returns plain results"
            )
    return futures


def teller(
    outcome: Callable[[], T],
    callback: Callable[[T], object] | None,
    error_callback: Callable[[BaseException], object] | None,
) -> Callable[..., None] | None:
    """What calls the one with an outcome that is there, or the other with why there is none; None without either."""

    def tell(*_: object) -> None:
        try:
            found = outcome()
        except BaseException as error:  # noqa: BLE001  # whatever the task raised
            call_safely(error_callback, error)
        else:
            call_safely(callback, found)

    return None if callback is None and error_callback is None else tell


def call_safely(callback: Callable[[T], object] | None, about: T) -> None:
    """Call what a user gave, if anything; whatever it raises, even to exit, it does not end the I/O thread."""
    if callback is None:
        return
    try:
        callback(about)
    except BaseException as error:
        if not isinstance(error, Exception) and not is_io_thread():
            raise
        LOGGER.exception("exception calling callback for %r", about)


def call_where_they_may_wait(listeners: list[Callable[[], object]], *, are_far: bool) -> None:
    """Call those who may read values; if these have to be fetched, not in the thread that does that."""
    if not (are_far and is_io_thread()):
        for listener in listeners:
            listener()
    elif listeners:
        again = functools.partial(call_where_they_may_wait, listeners, are_far=False)
        try:
            threading.Thread(target=again, name="scaler-callbacks", daemon=True).start()
        except RuntimeError:  # there can be no more: who reads a value here is told why that cannot be
            again()


class ScalerFuture(Future[Any]):
    """The result of one call, now or later; made by `Client.submit`, never by users.

    It works wherever a `concurrent.futures.Future` does. It can be awaited, in any event loop of asyncio; a coroutine
    that is cancelled while it waits gives the task up, unless it has shielded it. The value is unpickled in the thread
    that first asks for it.
    """

    #: a call that needs it was pickled while its value was not to be had, or large
    _is_input = False
    #: what was sealed, once it is opened, if other tasks may need it as it came: it is an input, or it failed
    _kept: Sealed | None = None

    def __init__(self, origin: Origin, index: int, submitted_at: float | None = None) -> None:
        # The base class's own initialiser is left out on purpose: it would make the condition at once.
        self._origin = origin
        self._index = index
        self._state = PENDING
        self._result = None
        self._exception = None
        self._sealed: Sealed | None = None
        self._facts: Facts | None = None
        self._again: Again | None = None
        self._submitted_at = time.monotonic() if submitted_at is None else submitted_at

    def __getattr__(self, name: str) -> Any:  # Any: the standard library's private attributes, whatever they are
        if name not in _MADE_WHEN_ASKED_FOR:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _CHANGES:
            if "_condition" not in self.__dict__:
                self._waiters = Waiters()
                self._done_callbacks: list[Any] = []
                self._condition = threading.Condition()
        return self.__dict__[name]

    def __reduce__(self) -> str | tuple[Any, ...]:  # Any: as the base class declares it
        """Among the arguments of a call a future stands for its value; elsewhere it cannot be pickled.

        One that was opened stands for that very object as it is now, like any other argument.
        """
        with _CHANGES:
            sealed = self._sealed
            data = sealed.inline() if sealed is not None else None
            is_opened = self._state == FINISHED and sealed is None and self._exception is None
            self._is_input |= data is None and not is_opened
        if is_opened:
            return inputs.stand_in_for_value(self._result)
        return inputs.stand_in(self) if data is None else inputs.stand_in_for_pickled(data)

    def become_input(self) -> None:
        """A call that is sent needs it, and its bytes do not have its value: what becomes of it is kept as it comes."""
        with _CHANGES:
            self._is_input = True

    def __repr__(self) -> str:
        return f"<ScalerFuture {self.task_id} {self._state.lower()}>"

    def __await__(self) -> Generator[Any, None, Any]:
        from scaler.client.awaiting import outcome  # noqa: PLC0415  # asyncio takes its time; who awaits has it

        return outcome(self).__await__()

    @property
    def task_id(self) -> str:
        """The name of the task: client, batch and index."""
        return str(self.task)

    @property
    def task(self) -> TaskId:
        """The same as the scheduler writes it."""
        return self._origin.task_id(self._index)

    def done(self) -> bool:
        """Whether the task has finished, failed or been cancelled."""
        return self._state in _DONE

    def running(self) -> bool:
        """Whether a worker was reported to run the task now."""
        return self._state == RUNNING

    def has_begun(self) -> bool:
        """Whether the task was reported to run, or is done."""
        return self._state != PENDING

    def cancelled(self) -> bool:
        """Whether the future was cancelled before its task was done."""
        return self._state == CANCELLED_AND_NOTIFIED

    def cancel(self) -> bool:
        """Give the task up unless it is done or reported running; a result that comes all the same is dropped."""
        with self._condition, _CHANGES:
            if self._state in (RUNNING, FINISHED):
                return False
            if self._state != PENDING:
                return True
            self._become_cancelled()
        self._tell_cancelled()
        return True

    def give_up(self) -> bool:
        """As `cancel`, whether the task runs or not; False if it was done."""
        with self._condition, _CHANGES:
            if self._state in _DONE:
                return False
            self._become_cancelled()
        self._tell_cancelled()
        return True

    def _become_cancelled(self) -> None:
        """The caller holds the condition and `_CHANGES`."""
        self._state = CANCELLED_AND_NOTIFIED
        for waiter in self._waiters:
            waiter.add_cancelled(self)
        self._condition.notify_all()

    def _tell_cancelled(self) -> None:
        self._origin.unwant(self._index)
        self._invoke_callbacks()

    def result(self, timeout: float | None = None) -> Any:  # Any: whatever the task returned
        """What the task returned; raises what it raised, `CancelledError`, or `TimeoutError` after `timeout` s."""
        error = self.exception(timeout)
        if error is not None:
            try:
                raise error
            finally:
                del error, self  # breaks the cycle through the traceback
        return self._result

    # ---- the names of `multiprocessing.pool.AsyncResult`

    def get(self, timeout: float | None = None) -> Any:  # Any: as above
        """The same as `result`."""
        return self.result(timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done, at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError, CancelledError):
            self.exception(timeout)

    def ready(self) -> bool:
        """The same as `done`."""
        return self.done()

    def successful(self) -> bool:
        """Whether it is done and did not fail; `ValueError` while it is not done."""
        if not self.done():
            raise ValueError(f"{self!r} is not ready")
        return not self.cancelled() and self.exception() is None

    def call_back(
        self, callback: Callable[[Any], object] | None, error_callback: Callable[[BaseException], object] | None
    ) -> None:
        """Once it is done, call the one with its result or the other with its exception."""
        if (tell := teller(self.result, callback, error_callback)) is not None:
            self.add_done_callback(tell)

    # ----

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception the task raised, or None; waits as `result` does."""
        until = None if timeout is None else time.monotonic() + timeout
        if self._state not in _DONE:
            self._wait(timeout)
        if self._state != FINISHED:
            raise CancelledError
        if self._sealed is not None:
            with within(None if until is None else until - time.monotonic()):
                self._open()
        return self._exception

    @property
    def is_far(self) -> bool:
        """Whether its value is to be waited for though it is done."""
        sealed = self._sealed
        return sealed is not None and sealed.is_far

    def _wait(self, timeout: float | None) -> None:
        if timeout is None or timeout > 0:
            require_may_wait("asking for the outcome of a task that is not done")
        if not wait_by(self._attempt, timeout):
            raise TimeoutError(f"task {self.task_id} is not done after {timeout} s")

    def _attempt(self, seconds: float | None) -> bool:
        with self._condition:
            return self._condition.wait_for(self.done, seconds)

    def _open(self) -> None:
        sealed = self._sealed
        if sealed is None:
            return
        outcome = sealed.open()
        error = None if outcome.error is None else not_an_end(outcome.error)
        with _CHANGES:
            if self._sealed is not None:
                if self._is_input or error is not None:
                    self._kept = self._sealed
                self._result, self._exception, self._sealed = outcome.value, error, None

    # ---- what is known of it

    def acknowledged(self, timeout: float | None = None) -> bool:
        """Wait until its task is on disk, where it outlives this process and the scheduler; of durable work alone.

        Raises `TimeoutError` after `timeout` seconds, `CancelledError` if it is cancelled.
        """
        self._origin.acknowledged(self._index, timeout)
        if self.cancelled():
            raise CancelledError
        return True

    def profiling_info(self) -> ProfilingInfo:
        """How the task ran; `ValueError` before it is done, and if it never ran."""
        if self._facts is None:
            why = "it did not run" if self._state in _DONE else "it is not done"
            raise ValueError(f"nothing is known of how task {self.task_id} ran: {why}")
        return self._facts.profile(self._index, self._submitted_at)

    def explain(self) -> str:
        """Why the task does not run yet, or where it stands, in one line; asks the scheduler."""
        if self._state in _DONE:
            return "it was cancelled" if self.cancelled() else "it is done"
        return self._origin.explain(self._index)

    @property
    def again(self) -> Again | None:
        """All it takes to submit the task anew, if it failed."""
        return self._again

    def _invoke_callbacks(self) -> None:
        for callback in self._done_callbacks:
            call_safely(callback, self)

    def outcome(self) -> KnownOutcome | None:
        """What became of the task, as it came, for a call whose bytes do not have it; None while it is not done."""
        with _CHANGES:
            if self._state == CANCELLED_AND_NOTIFIED:
                return _CANCELLED
            sealed = self._sealed or self._kept
        return sealed.outcome() if sealed is not None else None

    # ---- in a forked child

    def disown(self, sealed: Sealed) -> None:
        """Nobody will bring the outcome here: the future ends with this one, and its callbacks are the parent's."""
        self.__dict__.pop("_condition", None)  # a thread of the parent may have held it
        self._sealed, self._state = sealed, FINISHED

    # ---- called by whoever keeps the outcomes

    def revoke(self) -> None:
        """The task was given up, whether it ran or not: from now on the future is cancelled, unless it was done."""
        with self._condition, _CHANGES:
            if self._state in _DONE:
                return
            self._become_cancelled()
        self._invoke_callbacks()

    def note_running(self) -> None:
        """Record that a worker runs the task now."""
        with _CHANGES:
            if self._state != PENDING:
                return
            self._state = RUNNING
            condition = self.__dict__.get("_condition")
        if condition is not None:
            with condition:
                condition.notify_all()

    def keep_call(self, again: Again) -> None:
        """The task failed: keep what it takes to submit it anew, as long as somebody holds this future."""
        self._again = again.only(self._index)

    def settle(self, sealed: Sealed, facts: Facts | None = None) -> None:
        """Record the outcome and wake whoever waits; a future that was cancelled stays so."""
        self._facts = facts
        with _CHANGES:
            if self._state in _DONE:
                return
            if "_condition" not in self.__dict__:
                self._sealed, self._state = sealed, FINISHED
                return
        with self._condition:
            with _CHANGES:
                if self._state in _DONE:
                    return
                self._sealed, self._state = sealed, FINISHED
            for waiter in self._waiters:
                if sealed.failed:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)
            self._condition.notify_all()
        call_where_they_may_wait([self._invoke_callbacks], are_far=sealed.is_far and bool(self._done_callbacks))
