"""Shows what tasks print: in a thread of its own, since a terminal may stand still, and results must not wait."""

import contextlib
import sys
import threading
from queue import SimpleQueue
from typing import TextIO

from scaler.client.progress import aside
from scaler.lines import plain, plain_lines
from scaler.protocol import Output, OutputPiece
from scaler.protocol.columns import Frame

#: so many messages wait for the terminal at most
_MOST_WAITING = 1000
#: how long the end of a client waits for its terminal
_LAST_S = 1.0


class Terminal:
    """Writes to whatever `sys.stdout` and `sys.stderr` are then; a notebook replaces them."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Output, tuple[Frame, ...]] | None] = SimpleQueue()
        #: lines that found no room here, counted by the I/O thread alone
        self._dropped = 0
        #: how many of these were told, counted by its thread alone
        self._told = 0
        self._thread: threading.Thread | None = None

    def show(self, message: Output, frames: tuple[Frame, ...]) -> None:
        """Show it as soon as the terminal takes it; called by the I/O thread, which never waits for that."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="scaler-output", daemon=True)
            self._thread.start()
        if self._queue.qsize() < _MOST_WAITING:
            self._queue.put((message, frames))
        else:
            self._dropped += message.dropped + sum(bytes(frame).count(b"\n") for frame in frames)

    def close(self) -> None:
        """Give what has come the time to be shown."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._queue.put(None)
            thread.join(_LAST_S)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            with aside():
                self._write(*item)

    def _write(self, message: Output, frames: tuple[Frame, ...]) -> None:
        for piece, frame in zip(message.pieces, frames, strict=False):
            text = tagged(piece, bytes(frame).decode(errors="replace"))
            _write(sys.stderr if piece.is_error else sys.stdout, text)
        dropped = self._dropped - self._told
        self._told += dropped
        if dropped := dropped + message.dropped:
            _write(sys.stderr, f"scaler: {dropped} lines that tasks printed are not shown, they came too fast\n")


def tagged(piece: OutputPiece, text: str) -> str:
    """Each line with the task and the worker before it, and nothing in it that a terminal would obey but colours."""
    tag = plain(f"[{piece.name}-{piece.index} {piece.place}] ")
    return "".join(f"{tag}{line.rstrip()}\n" for line in plain_lines(text))


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # it is closed, or cannot write such letters
            stream.write(text)
            stream.flush()
