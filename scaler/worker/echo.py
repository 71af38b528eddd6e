"""The cluster's own output, which takes what its workers print: whole lines, each with the worker that printed it.

It is one stream with the log, and nothing that a task prints can be taken for a line of that or break one.
"""

import contextlib
import errno
import json
import logging
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scaler.ids import TaskId, WorkerId
from scaler.lines import moment, plain, plain_lines, quoted, word
from scaler.worker.output import STDERR, STDOUT, WHOLE_BYTES, write_all
from scaler.worker.source import Source

#: a line that is longer is broken
LONGEST_LINE_BYTES = 64 << 10
#: a line that has no end by then is ended
OPEN_S = 1.0
#: while there is no room it is tried again so soon
NO_ROOM_S = 0.05

_STREAMS = {STDOUT: "stdout", STDERR: "stderr"}


@dataclass(slots=True)
class _Open:
    """What a worker has printed of a line that has no end yet, and when that began."""

    source: Source | None
    since: float
    text: bytearray = field(default_factory=bytearray)


class Echo:
    """Writes what finds room; what cannot be written is lost, and that is told once."""

    def __init__(
        self,
        line_format: str = "text",
        clock: Callable[[], float] = time.monotonic,
        out: int = STDOUT,
        err: int = STDERR,
    ) -> None:
        self._written = _FORMATS[line_format]
        self._clock = clock
        self._is_failing = False
        self._open: dict[tuple[WorkerId, int], _Open] = {}
        #: where each stream goes: both to one descriptor if they are the same
        self._streams = (out, err)
        self._goes_to = {STDOUT: out, STDERR: out if _are_same(out, err) else err}
        #: lines that found no room yet, by descriptor; and those descriptors that have the beginning of one
        self._waiting = {descriptor: bytearray() for descriptor in self._goes_to.values()}
        self._broken: set[int] = set()
        self._filters: list[tuple[logging.Handler, Callable[[logging.LogRecord], bool]]] = []

    def open(self) -> None:
        """Have the log wait for the end of a line that is half written where it goes, too."""
        same = dict(zip(self._streams, self._goes_to.values(), strict=True))
        for handler in logging.getLogger().handlers:
            descriptor = same.get(_descriptor_of(handler))
            if descriptor is not None:
                ending = partial(self._end_broken, descriptor)
                handler.addFilter(ending)
                self._filters.append((handler, ending))

    def close(self) -> None:
        """Write what there is room for, and leave the log alone."""
        for place in list(self._open):
            self._end(place)
        self.look()
        for handler, ending in self._filters:
            handler.removeFilter(ending)

    def _end_broken(self, descriptor: int, _record: logging.LogRecord) -> bool:
        if descriptor in self._broken:
            waiting = self._waiting[descriptor]
            size = waiting.find(b"\n") + 1
            self._broken.discard(descriptor)
            self._write(descriptor, bytes(waiting[:size]))
            del waiting[:size]
        return True

    def has_room(self, stream: int) -> bool:
        """Whether all that came for a stream is written, and there is room for more."""
        descriptor = self._goes_to[stream]
        self._write_waiting(descriptor)
        return not self._waiting[descriptor] and _has_room(descriptor)

    def put(self, worker: WorkerId, source: Source | None, stream: int, data: bytes) -> None:
        """Take in what a worker has printed; whole lines are written as far as there is room, and then wait."""
        place = (worker, stream)
        begun = self._open.get(place)
        if begun is not None and begun.source != source:
            self._end(place)
            begun = None
        if begun is None:
            begun = self._open[place] = _Open(source, self._clock())
        begun.text += data
        *whole, begun.text = begun.text.split(b"\n")
        for line in whole:
            self._take(place, source, line)
        while len(begun.text) > LONGEST_LINE_BYTES:
            self._take(place, source, begun.text[:LONGEST_LINE_BYTES])
            del begun.text[:LONGEST_LINE_BYTES]
        if not begun.text:
            del self._open[place]
        elif whole:
            begun.since = self._clock()
        self._write_waiting(self._goes_to[stream])

    def ended(self, worker: WorkerId) -> None:
        """A worker is gone: what it has begun is a line."""
        for place in [place for place in self._open if place[0] == worker]:
            self._end(place)
        self.look()

    def look(self) -> None:
        """End lines that have been begun for long, and write what there is room for."""
        now = self._clock()
        for place in [place for place, begun in self._open.items() if begun.since + OPEN_S <= now]:
            self._end(place)
        for descriptor in self._waiting:
            self._write_waiting(descriptor)

    def due(self) -> float | None:
        """When to look."""
        dues = [begun.since + OPEN_S for begun in self._open.values()]
        if any(self._waiting.values()):
            dues.append(self._clock() + NO_ROOM_S)
        return min(dues, default=None)

    def _end(self, place: tuple[WorkerId, int]) -> None:
        begun = self._open.pop(place)
        self._take(place, begun.source, begun.text)

    def _take(self, place: tuple[WorkerId, int], source: Source | None, line: bytearray) -> None:
        worker, stream = place
        text = self._written(worker, source, stream, line.decode(errors="replace"))
        self._waiting[self._goes_to[stream]] += text.encode(errors="backslashreplace")

    # ---- writing

    def _write_waiting(self, descriptor: int) -> None:
        """Lines go as many at a time as the system keeps whole; one that is longer goes in parts."""
        waiting = self._waiting[descriptor]
        while waiting and _has_room(descriptor):
            most = min(len(waiting), WHOLE_BYTES)
            find = waiting.find if descriptor in self._broken else waiting.rfind
            end = find(b"\n", 0, most) + 1
            (self._broken.discard if end else self._broken.add)(descriptor)
            self._write(descriptor, bytes(waiting[: end or most]))
            del waiting[: end or most]

    def _write(self, descriptor: int, data: bytes) -> None:
        try:
            write_all(descriptor, data)
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


def _has_room(descriptor: int) -> bool:
    """Whether a piece of at most `WHOLE_BYTES` can be written without waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def _descriptor_of(handler: logging.Handler) -> int:
    """Where a handler of the log writes to; below 0 if it has none."""
    found = getattr(handler, "descriptor", None)
    if isinstance(found, int):
        return found
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it has no stream, or one without a descriptor
        return int(getattr(handler, "stream", None).fileno())  # type: ignore[union-attr]  # as above
    return -1


def _are_same(one: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


# ---- how a line looks


def _text(worker: WorkerId, source: Source | None, _stream: int, text: str) -> str:
    """`[worker 0 name-index] text`: no line of the log begins so, and no name or text can make one that does not."""
    task = f" {source.name}-{source.index}" if source else ""
    tag = plain(f"[worker {worker}{task}] ")
    return "".join(f"{tag}{line}\n" for line in plain_lines(f"{text}\n"))


def _members(worker: WorkerId, source: Source | None, stream: int, text: str) -> dict[str, object]:
    task = {"task": str(TaskId(source.batch, source.index)), "name": source.name} if source else {}
    return {"time": moment(time.time()), "worker": worker, **task, "stream": _STREAMS[stream], "text": text}


def _kv(worker: WorkerId, source: Source | None, stream: int, text: str) -> str:
    *others, (last, _) = _members(worker, source, stream, text).items()
    return " ".join([f"{name}={word(value)}" for name, value in others] + [f"{last}={quoted(text)}"]) + "\n"


def _json(worker: WorkerId, source: Source | None, stream: int, text: str) -> str:
    return json.dumps(_members(worker, source, stream, text), ensure_ascii=False) + "\n"


_FORMATS: dict[str, Callable[[WorkerId, Source | None, int, str], str]] = {"text": _text, "kv": _kv, "json": _json}
