"""What runs longer than its timeout is ended, and the error shows where it was, whatever it was doing."""

import ctypes
import time
from collections.abc import Callable

import pytest

from scaler import Client
from scaler.errors import TaskTimeoutError
from tests.integration.processes import Place
from tests.integration.submitting import submit

TIMEOUT_S = 0.5


def sleeps(seconds: float) -> None:
    """Do nothing."""
    time.sleep(seconds)


def computes(seconds: float) -> None:
    """Be busy in Python."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def holds_the_lock(seconds: float) -> None:
    """Be in a C call that lets no other thread of this process run Python."""
    ctypes.PyDLL(None).sleep(int(seconds))


def recurses(seconds: float, depth: int = 300) -> None:
    """Be deep down."""
    if depth:
        recurses(seconds, depth - 1)
    sleeps(seconds)


@pytest.mark.parametrize("function", [sleeps, computes, holds_the_lock])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_error_shows_the_line_it_was_in(
    place: Place, address: str, client: Client, function: Callable[[float], None], threads: int
):
    place.cluster(address, 1, "--threads", str(threads))
    client.submit(function, 0.0).result()  # loading this module takes its time
    begun = time.monotonic()
    future = submit(client, function, 30.0, timeout=TIMEOUT_S)
    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0.5 s") as caught:
        future.result()
    assert time.monotonic() - begun < TIMEOUT_S + 1.0
    text = str(caught.value)
    assert "it was in (most recent call last):\n  File" in text
    assert text.splitlines()[-1].endswith(f'test_task_stacks.py", line {text.rpartition("line ")[2]}')
    assert f"in {function.__name__}" in text
    assert "slot.py" not in text
    assert client.submit(abs, -2).result() == 2


def test_of_a_deep_stack_the_innermost_calls_are_shown(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    client.submit(sleeps, 0.0).result()
    error = submit(client, recurses, 30.0, timeout=TIMEOUT_S).exception()
    assert str(error).splitlines()[-1].endswith("in sleeps")
    assert str(error).count("in recurses") > 50


def test_of_tasks_side_by_side_each_shows_its_own(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "2")
    client.submit(sleeps, 0.0).result()
    futures = [submit(client, function, 30.0, timeout=TIMEOUT_S) for function in (sleeps, computes)]
    texts = [str(future.exception()) for future in futures]
    assert ["in sleeps" in text for text in texts] == [True, False]
    assert ["in computes" in text for text in texts] == [False, True]
