"""Where the commands begin. Nothing is imported before a signal may end us without a word."""

import os
import signal
import sys

_STANDARD_DESCRIPTORS = 3


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
    from scaler.cli.commands import invoke  # noqa: PLC0415  # not before the signals

    sys.exit(invoke(program, command, sys.argv[1:]))


def _hold_standard_descriptors() -> None:
    """No socket may get the number of a stream that was closed: what is printed would go into it."""
    for descriptor in range(_STANDARD_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
