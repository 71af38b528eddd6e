"""Where the commands begin. Nothing is imported before a signal may end us without a word."""

import os
import select
import signal
import sys
import threading
from collections.abc import Sequence

_STANDARD_DESCRIPTORS = 3
_PARENT_OPTION = "--parent-fd"
_LAST_DESCRIPTOR = 2**31 - 1
_DIGITS = len(str(_LAST_DESCRIPTOR))


def main() -> None:
    """Entry of `scaler`, and of `python -m scaler.cli.main`."""
    _run("scaler", "")


def scheduler_main() -> None:
    """Entry of `scaler_scheduler`."""
    _run("scaler_scheduler", "scheduler")


def worker_main() -> None:
    """Entry of `scaler_worker` and `scaler_cluster`."""
    name = os.path.basename(sys.argv[0])  # noqa: PTH119  # pathlib is not needed otherwise before a signal may come
    _run(name if name == "scaler_cluster" else "scaler_worker", "worker")


def _run(program: str, command: str) -> None:
    """Until a shell takes the signals over there is nothing to leave behind, so they may simply end us."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _hold_standard_descriptors()
    _end_with_parent(sys.argv)
    from scaler.cli.commands import invoke  # noqa: PLC0415  # not before the signals

    sys.exit(invoke(program, command, sys.argv[1:]))


def _hold_standard_descriptors() -> None:
    """No socket may get the number of a stream that was closed: what is printed would go into it."""
    for descriptor in range(_STANDARD_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end_with_parent(arguments: list[str]) -> None:
    """The end of whoever started us ends us, until a shell listens to its line itself."""
    descriptor = parent_line(arguments)
    if descriptor is not None:
        threading.Thread(target=_await_end_of_parent, args=[descriptor], daemon=True).start()


def parent_line(arguments: Sequence[str]) -> int | None:
    """The descriptor of the line to whoever started us, if one is named; what cannot be one is told by the command."""
    text = ""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option == _PARENT_OPTION:
            text = value if equals else following
    return int(text) if text.isdecimal() and len(text) <= _DIGITS and int(text) <= _LAST_DESCRIPTOR else None


def _await_end_of_parent(descriptor: int) -> None:
    # signals have to wake the main thread, so no other may take them
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    line = select.poll()
    line.register(descriptor, 0)  # its end alone: what is said on it is for the shell
    [(_, event)] = line.poll()
    if event != select.POLLNVAL and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
