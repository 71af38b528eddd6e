"""Whether this process can still open what a connection takes; libzmq may abort the process when it cannot."""

import contextlib
import errno
import os
import resource

#: a connection and its I/O thread take ten
NEEDED = 12
NONE_LEFT = "this process has no descriptors left, see ulimit -n"


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as the system lets it have, and say how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


def require_descriptors(others: int = 0) -> None:
    """Raise `OSError` (EMFILE or ENFILE) unless a connection, and so many others, can be opened."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(NEEDED + others))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise OSError(error.errno, NONE_LEFT) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)
