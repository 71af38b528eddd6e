"""What tasks print: in a worker, marked with the task that prints it; in its cluster, told apart again and passed on.

A worker's stdout and stderr are pipes to its cluster. What Python prints goes into them in pieces that the system keeps
whole, each behind a mark that names the task. What comes without one, from C or from other programs, is of whatever
runs there when it is read.
"""

import contextlib
import errno
import io
import os
import re
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

from scaler.ids import BatchId, Incarnation
from scaler.worker.source import Source

STDOUT, STDERR = 1, 2
#: POSIX's least; a piece so large is written whole, or waits for room
WHOLE_BYTES = select.PIPE_BUF
_LONGEST_NAME = 100
_BEGIN = b"\0\1scaler "
_MARK = re.compile(
    rb"\x00\x01scaler (\d{1,4}) ([0-9a-f]{1,16})-(\d{1,15})-(\d{1,15}) ([0-9a-f]{1,16}) ([^\x00]{0,400})\x00"
)
_LONGEST_MARK = 512


# ---- in a worker


def marked_writer(
    descriptor: int,
    encoding: str,
    errors: str,
    source: Callable[[], Source | None],
    printed: Callable[[], None],
    at_end: Callable[[Callable[[], None]], bool] = lambda _: False,
) -> io.TextIOWrapper:
    """A text stream like `sys.stdout` for a pipe to the cluster; what nobody takes is lost, and no task fails for it.

    `source` tells who prints, and `printed` is called behind every writing. `at_end` has something done at the end of
    the task that prints, if there is one.
    """
    return _Lines(io.BufferedWriter(_Marking(descriptor, source, printed)), encoding, errors, at_end)


class _Lines(io.TextIOWrapper):
    """Writes whole lines, each of one thread; one without an end is written when its task ends."""

    def __init__(
        self, buffer: io.BufferedWriter, encoding: str, errors: str, at_end: Callable[[Callable[[], None]], bool]
    ) -> None:
        super().__init__(buffer, encoding=encoding, errors=errors, line_buffering=True)
        self._at_end = at_end
        #: the line that each thread has begun
        self._begun: dict[int, str] = {}
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        self._writing = threading.RLock()

    def write(self, text: str, /) -> int:
        thread = threading.get_ident()
        begun = self._begun.pop(thread, "")
        whole = begun + text
        is_due = "\n" in text or "\r" in text or len(whole) > WHOLE_BYTES
        if is_due or not (begun or self._at_end(lambda: self._finish(thread))):
            self._write_out(whole)
        else:
            self._begun[thread] = whole
        return len(text)

    def flush(self) -> None:
        self._write_out(self._begun.pop(threading.get_ident(), ""))

    def _finish(self, thread: int) -> None:
        with contextlib.suppress(ValueError):  # it is closed, or cannot write such letters: the task is over
            self._write_out(self._begun.pop(thread, ""))

    def _write_out(self, text: str) -> None:
        with self._writing:
            super().write(text)
            super().flush()


class _Marking(io.RawIOBase):
    def __init__(self, descriptor: int, source: Callable[[], Source | None], printed: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._source = source
        self._printed = printed
        self._pipe = _identity(descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # Any: a buffer, for which 3.11 has no type
        text = bytes(data)
        with contextlib.suppress(OSError):
            # users may put a file of theirs in the place of the pipe, where marks do not belong
            source = self._source() if _identity(self._descriptor) == self._pipe else None
            for piece in _pieces(text):
                _write_all(self._descriptor, piece if source is None else mark(source, len(piece)) + piece)
            self._printed()
        return len(text)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut at the ends of lines, that the system keeps each whole with its mark."""
    at = 0
    while at < len(text):
        most = at + WHOLE_BYTES - _LONGEST_MARK
        end = len(text) if len(text) <= most else text.rfind(b"\n", at, most) + 1 or most
        yield text[at:end]
        at = end


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def mark(source: Source, size_bytes: int) -> bytes:
    """What stands before so many bytes that a task has printed."""
    owner, n = source.batch
    name = source.name[:_LONGEST_NAME].replace("\0", "").encode(errors="replace")
    return b"%s%d %x-%d-%d %x %s\0" % (_BEGIN, size_bytes, owner, n, source.index, source.viewer or 0, name)


# ---- in the cluster


class Marks:
    """Takes the marks out of what comes through a pipe, and tells whose the rest is."""

    def __init__(self) -> None:
        #: the beginning of what may be a mark, and of what it stands before
        self._begun = b""

    def feed(self, data: bytes) -> list[tuple[Source | None, bytes]]:
        """What was printed, in order, with its source where a mark told it."""
        data, self._begun = self._begun + data, b""
        pieces: list[tuple[Source | None, bytes]] = []
        while data:
            found = _MARK.match(data)
            size = _mark_at(data) if found is None else found.end() + int(found[1])
            if _may_become_mark(data) if found is None else len(data) < size:
                self._begun = data
                break
            if found is None:
                pieces.append((None, data[:size]))
            else:
                pieces.append((_source_in(found), data[found.end() : size]))
            data = data[size:]
        return pieces


def _source_in(found: re.Match[bytes]) -> Source:
    batch = BatchId(Incarnation(int(found[2], 16)), int(found[3]))
    viewer = Incarnation(int(found[5], 16)) or None
    return Source(batch, int(found[4]), found[6].decode(errors="replace"), viewer)


def _may_become_mark(data: bytes) -> bool:
    head = data[: len(_BEGIN)]
    return _BEGIN.startswith(head) and b"\0" not in data[1:] and len(data) < _LONGEST_MARK


def _mark_at(data: bytes) -> int:
    """Where the next mark may begin, behind the first byte."""
    at = data.find(_BEGIN[:1], 1)
    return len(data) if at < 0 else at


class Echo:
    """The cluster's own output, which takes what its workers print; what it does not take is lost, and told once."""

    def __init__(self) -> None:
        self._is_failing = False

    def has_room(self, descriptor: int) -> bool:
        """Whether a piece of at most `WHOLE_BYTES` can be written without waiting."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    def write(self, descriptor: int, data: bytes) -> None:
        """Write it; nothing fails if that cannot be done."""
        try:
            _write_all(descriptor, data)
        except OSError as error:
            self._tell_once(error)
        else:
            self._is_failing = False

    def _tell_once(self, error: OSError) -> None:
        if error.errno == errno.EPIPE or self._is_failing:  # a reader that has gone knows
            return
        self._is_failing = True
        text = f"scaler: what tasks print cannot be written, and is lost until it can: {error.strerror}\n"
        with contextlib.suppress(OSError):
            os.write(STDERR, text.encode())
