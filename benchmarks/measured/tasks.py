"""What the workers run. Every peer's workers import this module, so that tasks travel by name."""

import ctypes
import os
import time
from typing import Any


def noop(x: int) -> int:
    """The least a task can do and still be checked."""
    return x + 1


def add(first: int, second: int) -> int:
    """What joins two results."""
    return first + second


def sum_slice(array: Any, index: int, count: int) -> float:
    """The sum of one of so many equal parts of an array of NumPy's."""
    size = len(array) // count
    return float(array[index * size : (index + 1) * size].sum())


def item(values: bytes, index: int) -> int:
    """One byte of many."""
    return values[index]


def negate(array: Any) -> Any:
    """An array of the same size."""
    return -array


def sleep(seconds: float) -> None:
    """Occupy a worker without the processor."""
    time.sleep(seconds)


def sleep_then_pid(seconds: float) -> int:
    """Say who was occupied."""
    time.sleep(seconds)
    return os.getpid()


def sleep_and_tell(seconds: float) -> tuple[int, float]:
    """Who ran this, and when it was done, on the clock that all processes of a machine share."""
    time.sleep(seconds)
    return os.getpid(), time.monotonic()


def maybe_long(x: int, how: str, seconds: float) -> int:
    """A no-op as `how` is "no"; else a long task that waits ("sleep") or holds the interpreter in a C call ("gil")."""
    if how == "sleep":
        time.sleep(seconds)
    elif how == "gil":
        left = round(seconds)
        while left:  # a signal cuts the call short
            left = ctypes.PyDLL(None).sleep(left)
    return x + 1
