"""Where the tasks of a worker are, as its process writes it down into a file on a signal, whatever it is doing."""

import fcntl
import itertools
import os
import re

#: of a deep stack so much is told, innermost calls before others
MOST_CHARACTERS = 8000
#: the first frame that is not of a task, but of the worker itself
_OURS = re.compile(r'^  File ".*scaler/worker/slot\.py", line \d+ in _run_(calls|ticket)$', re.MULTILINE)
_DOTS = "  ..."
_SECTION = r"(?:Current thread|Thread) 0x{:016x} \(most recent call first\):\n((?:  .*\n)*)"


class Stacks:
    """The file, and whose stacks in it are asked for and were not there yet."""

    def __init__(self) -> None:
        self._file = os.memfd_create("scaler-stacks", os.MFD_CLOEXEC)
        # whoever writes does so at its end, which is its beginning again once it was read
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)
        #: the threads of slots, in the order in which they were asked for
        self._wanted: list[tuple[int, int]] = []

    def fileno(self) -> int:
        """Where the worker writes."""
        return self._file

    def want(self, slot: int, thread: int) -> None:
        """The stack of the thread of a slot is asked for."""
        self._wanted.append((slot, thread))

    def take(self) -> tuple[tuple[int, str], ...]:
        """The stacks that were asked for, if they have come, by slot."""
        if not self._wanted:
            return ()
        size = os.fstat(self._file).st_size
        text = os.pread(self._file, size, 0).decode(errors="replace")
        stacks = tuple((slot, stack) for slot, thread in self._wanted if (stack := stack_of(thread, text)))
        if stacks:
            os.ftruncate(self._file, 0)
            self._wanted.clear()
        return stacks

    def close(self) -> None:
        """Give it back."""
        os.close(self._file)


def stack_of(thread: int, text: str) -> str:
    """What the last of these dumps says of the task in a thread, the outermost call first; "" if it is not all there.

    Of a very deep stack a dump has the innermost calls alone, and ends with dots.
    """
    sections = re.findall(_SECTION.format(thread), text)
    section = sections[-1] if sections else ""
    frames = _OURS.split(section)[0].splitlines()
    if not frames or (len(frames) == len(section.splitlines()) and frames[-1] != _DOTS):
        return ""
    innermost = _at_most(MOST_CHARACTERS, frames)
    return "\n".join(["it was in (most recent call last):", *reversed(innermost)])


def _at_most(characters: int, frames: list[str]) -> list[str]:
    """As many of these frames, innermost first, as have no more characters, with dots for the others."""
    lengths = itertools.accumulate(len(frame) + 1 for frame in frames)
    count = sum(length <= characters for length in lengths)
    return frames if count == len(frames) else [*frames[:count], _DOTS]
