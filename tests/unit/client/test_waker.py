import contextlib
import os
import select
from collections.abc import Iterator

import pytest

from scaler.client.waker import Waker


@pytest.fixture(params=["eventfd", "pipe"])
def waker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waker]:
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd")
    with contextlib.closing(Waker()) as made:
        yield made


def is_awake(waker: Waker) -> bool:
    return bool(select.select([waker.fileno()], [], [], 0)[0])


def test_it_is_awake_from_a_call_until_it_is_cleared(waker: Waker):
    assert not is_awake(waker)
    waker.wake()
    waker.wake()
    assert is_awake(waker)
    waker.clear()
    assert not is_awake(waker)
    waker.clear()
    waker.wake()
    assert is_awake(waker)


def test_calls_that_nobody_clears_neither_block_nor_are_forgotten(waker: Waker):
    for _ in range(20_000):
        waker.wake()
    assert is_awake(waker)
    waker.clear()
    assert not is_awake(waker)


def test_a_counter_that_is_full_is_awake_already():
    with contextlib.closing(Waker()) as waker:
        os.eventfd_write(waker.fileno(), 2**64 - 2)
        waker.wake()
        waker.clear()
        assert not is_awake(waker)


@pytest.mark.usefixtures("waker")
def test_closing_gives_every_descriptor_back():
    before = len(os.listdir("/proc/self/fd"))
    other = Waker()
    other.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_closed_one_is_woken_without_effect(waker: Waker):
    descriptor = waker.fileno()
    waker.close()
    other = os.open(os.devnull, os.O_WRONLY)
    if other != descriptor:
        os.dup2(other, descriptor)
        os.close(other)
    try:
        waker.wake()
        waker.close()
        os.fstat(descriptor)  # whose it is now keeps it
    finally:
        os.close(descriptor)
