"""Who may wait: every thread but a client's I/O thread, on which all that could be waited for depends."""

import threading

_thread = threading.local()


def become_io_thread() -> None:
    """From now on this thread brings outcomes, and runs the callbacks of futures."""
    _thread.brings_outcomes = True


def is_io_thread() -> bool:
    """Whether this thread is a client's I/O thread."""
    return getattr(_thread, "brings_outcomes", False)


def require_may_wait(caller: str) -> None:
    """Raise `RuntimeError` where a call that waits would do so for ever: in a done callback."""
    if is_io_thread():
        raise RuntimeError(
            f"{caller} would wait for itself: it was called from a done callback, which runs in the thread that brings "
            "the outcomes; call it in a thread of your own"
        )
