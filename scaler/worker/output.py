"""What tasks print: in a worker, marked with the task that prints it; in its cluster, told apart again.

A worker's stdout and stderr are pipes to its cluster. What Python prints goes into them in pieces that the system keeps
whole, each behind a mark that names the task. What comes without one, from C or from other programs, is of whatever
runs there when it is read. A task may write marks itself, so a cluster believes none that names what it has not given
to that worker.
"""

import contextlib
import io
import os
import re
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from scaler.ids import BatchId, Incarnation, TaskId

STDOUT, STDERR = 1, 2
#: POSIX's least; a piece so large is written whole, or waits for room
WHOLE_BYTES = select.PIPE_BUF
#: of a line without an end so much is kept back
_LONGEST_BEGUN = 8192
_BEGIN = b"\0\1scaler "
_MARK = re.compile(rb"\x00\x01scaler (\d{1,4}) ([0-9a-f]{1,16})-(\d{1,15})-(\d{1,15})\x00")
_LONGEST_MARK = 80


# ---- in a worker


class Printer(Protocol):
    """Who prints."""

    def task(self) -> TaskId | None:
        """The task that runs there."""
        ...

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done once when that task ends."""
        ...


def marked_writer(
    descriptor: int, encoding: str, errors: str, who: Callable[[], Printer | None], printed: Callable[[], None]
) -> io.TextIOWrapper:
    """A text stream like `sys.stdout` for a pipe to the cluster; what nobody takes is lost, and no task fails for it.

    Each thread's lines go when they end, and what has no end when its task ends; what no task prints goes at once.
    `who` tells who prints, and `printed` is called behind every writing.
    """
    # each writing is passed on, so that `_Marking` knows of what has no end yet
    return io.TextIOWrapper(_Marking(descriptor, who, printed), encoding=encoding, errors=errors, write_through=True)


@dataclass(slots=True)
class _Begun:
    """What a thread has printed that has no end yet, the task it is of, and what writes it when that ends."""

    task: TaskId | None
    finish: Callable[[], None]
    text: bytearray = field(default_factory=bytearray)


class _Marking(io.BufferedIOBase):
    def __init__(self, descriptor: int, who: Callable[[], Printer | None], printed: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._who = who
        self._printed = printed
        self._pipe = _identity(descriptor)
        #: what each thread has begun; kept until the task ends
        self._begun: dict[int, _Begun] = {}
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Another thread may have held the lock when this process was forked."""
        self._lock = threading.RLock()

    @property
    def name(self) -> int:
        """As files have one that were opened by their descriptor."""
        return self._descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # Any: a buffer, for which 3.11 has no type
        text = bytes(memoryview(data))
        thread = threading.get_ident()
        with self._lock:
            who = self._who()
            task = None if who is None else who.task()
            begun = self._begun.get(thread)
            if begun is None or begun.task != task:
                self._finish(thread)
                begun = self._begun[thread] = _Begun(task, partial(self._finish, thread))
            begun.text += text
            end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
            whole = len(begun.text) - len(text) + end if end else 0
            is_due = task is None or len(begun.text) - whole > _LONGEST_BEGUN
            self._put(begun, len(begun.text) if is_due else whole)
            if begun.text and who is not None:
                who.at_end(begun.finish)
            elif task is None:
                del self._begun[thread]
        return len(text)

    def flush(self) -> None:
        with self._lock:
            if (begun := self._begun.get(threading.get_ident())) is not None:
                self._put(begun, len(begun.text))

    def _finish(self, thread: int) -> None:
        """The task is over of which a thread may have begun a line."""
        with self._lock:
            if (begun := self._begun.pop(thread, None)) is not None:
                self._put(begun, len(begun.text))

    def _put(self, begun: _Begun, size: int) -> None:
        """Write so much of what has been printed."""
        text = bytes(begun.text[:size])
        del begun.text[:size]
        if not text:
            return
        with contextlib.suppress(OSError):
            # users may put a file of theirs in the place of the pipe, where marks do not belong
            task = begun.task if _identity(self._descriptor) == self._pipe else None
            for piece in _pieces(text):
                write_all(self._descriptor, piece if task is None else mark(task, len(piece)) + piece)
            self._printed()


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


def write_all(descriptor: int, data: bytes) -> None:
    """Write it, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def mark(task: TaskId, size_bytes: int) -> bytes:
    """What stands before so many bytes that a task has printed."""
    owner, n = task.batch
    return b"%s%d %x-%d-%d\0" % (_BEGIN, size_bytes, owner, n, task.index)


# ---- in the cluster


class Marks:
    """Takes the marks out of what comes through a pipe, and tells whose the rest is said to be."""

    def __init__(self) -> None:
        #: the beginning of what may be a mark, and of what it stands before
        self._begun = b""

    def feed(self, data: bytes) -> list[tuple[TaskId | None, bytes]]:
        """What was printed, in order, with its task where a mark told it."""
        data, self._begun = self._begun + data, b""
        pieces: list[tuple[TaskId | None, bytes]] = []
        while data:
            found = _MARK.match(data)
            size = _mark_at(data) if found is None else found.end() + int(found[1])
            if _may_become_mark(data) if found is None else len(data) < size:
                self._begun = data
                break
            if found is None:
                pieces.append((None, data[:size]))
            else:
                pieces.append((_task_in(found), data[found.end() : size]))
            data = data[size:]
        return pieces


def _task_in(found: re.Match[bytes]) -> TaskId:
    return TaskId(BatchId(Incarnation(int(found[2], 16)), int(found[3])), int(found[4]))


def _may_become_mark(data: bytes) -> bool:
    head = data[: len(_BEGIN)]
    return _BEGIN.startswith(head) and b"\0" not in data[1:] and len(data) < _LONGEST_MARK


def _mark_at(data: bytes) -> int:
    """Where the next mark may begin, behind the first byte."""
    at = data.find(_BEGIN[:1], 1)
    return len(data) if at < 0 else at
