"""What the tests have workers do. It imports little: every new worker loads this module before its first task."""

import ctypes
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONG_S = 1000.0


def append(path: str, line: object) -> None:
    """Leave a line in a file that many write to: this is how runs are counted."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def work(path: str, number: int, last: int, seconds: float = 0.005) -> int:
    """Leave a line, and stay at it if this is the one to be killed, its process in a file beside."""
    append(path, number)
    if number == last:
        sys.stderr.write("last words\n")
        sys.stderr.flush()
        append(f"{path}.pid", os.getpid())
        time.sleep(LONG_S)
    time.sleep(seconds)
    return number


def timed(path: str, number: int, seconds: float) -> int:
    """Leave a line that says where and when this began."""
    append(path, f"{number} {os.getpid()} {time.monotonic()}")
    time.sleep(seconds)
    return number


def leave(number: int, last: int) -> int:
    """End the process if this is the one."""
    if number == last:
        os._exit(3)
    return number


def leave_beside_others(path: str, number: int, last: int) -> int:
    """As `leave`, once three run in this process; the others stay at it if this is the first time they all run."""
    append(path, number)
    while (begun := Path(path).read_text(encoding="utf-8").count("\n")) < 3:
        time.sleep(0.005)
    if number != last and begun == 3:
        time.sleep(LONG_S)
    return leave(number, last)


def end_by_segmentation_fault() -> None:
    """End the process by a crash."""
    ctypes.string_at(0)


def end_by_signal(number: int) -> None:
    """End the process by a signal to itself."""
    os.kill(os.getpid(), number)
    time.sleep(LONG_S)


def spawn(path: str) -> None:
    """Start processes that would outlive us: a plain one, one in a session of its own, and a daemon's child."""
    for words in (["sleep", "1000"], ["setsid", "sleep", "1000"], ["sh", "-c", "setsid sleep 1000 & exec sleep 0"]):
        subprocess.Popen(words)
    time.sleep(0.3)
    append(f"{path}.pid", os.getpid())
    time.sleep(LONG_S)


def overlapping(path: str, number: int, seconds: float) -> None:
    """Leave a line at the begin and one at the end, with the time."""
    append(path, f"begin {number} {time.monotonic()}")
    time.sleep(seconds)
    append(path, f"end {number} {time.monotonic()}")


def fail_until(path: str, good: int, kind: type[BaseException], *arguments: object) -> int:
    """Raise until the file of this place says that it has been tried so often; the number of tries."""
    append(path, time.monotonic())
    tries = len(Path(path).read_text(encoding="utf-8").splitlines())
    if tries < good:
        raise kind(*arguments)
    return tries


def die(path: str, how: str, *last_words: str) -> None:
    """Leave a line and end the process in one of several ways."""
    append(path, how)
    for words in last_words:
        sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
    if how == "SIGKILL":
        os.kill(os.getpid(), 9)
    if how == "SIGSEGV":
        end_by_segmentation_fault()
    os._exit(7)


def poison(path: str, how: str) -> None:
    """As `die`, with the way it ends as last words."""
    die(path, how, f"poisoned by {how}")


def mark(path: str, number: int) -> int:
    """Leave a line and be done."""
    append(path, number)
    return number


def stay(path: str, number: int, how: str = "asleep") -> None:
    """Leave a line that says when this began, and go on for ever in one of several ways."""
    append(path, f"{number} {time.monotonic()} {os.getpid()}")
    if how == "asleep":
        time.sleep(LONG_S)
    if how == "in C with the GIL":
        sum(itertools.repeat(0))
    stay_busy(heedless=how == "heedless")


def stay_busy(*, heedless: bool) -> None:
    """Compute for ever, and go on after whatever is raised in here."""
    while True:
        try:
            while True:
                pass
        except BaseException:
            if not heedless:
                raise


def short(path: str, number: int) -> int:
    """Half a millisecond of work, and a line of its own."""
    return short_line(path, number, str(number))


def short_and_when(path: str, number: int) -> int:
    """The same with a line that says when it began and where."""
    return short_line(path, number, f"{number} {time.monotonic()} {os.getpid()}")


def short_line(path: str, number: int, line: str) -> int:
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass
    append(path, line)
    return number


def call_once(path: str, seconds: float = 0.0) -> int:
    """Leave the process in a line, after a while."""
    time.sleep(seconds)
    append(path, os.getpid())
    return os.getpid()


def sum_of(path: str, *parts: int) -> int:
    """Leave a line, and add."""
    total = sum(parts)
    append(path, f"{total} {os.getpid()} {time.monotonic()}")
    return total


def wait_for(path: str, value: int) -> int:
    """The value, once somebody has made this file."""
    while not Path(path).exists():
        time.sleep(0.01)
    return value


def same(value: Any) -> Any:
    """What it was given."""
    return value


def slept(seconds: float) -> float:
    """The time it took, spent asleep."""
    time.sleep(seconds)
    return seconds


def reciprocal(number: int) -> float:
    """Fails for zero."""
    return 1 / number
