"""What an idle worker does is told on a command line and read again; the line of a worker tells whether it is idle."""

import gc
import weakref

from scaler.worker.inbox import Inbox
from scaler.worker.line import line_pair
from scaler.worker.tidying import Tidying, resident_bytes, tidying_from


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_it_survives_a_command_line():
    for tidying in (Tidying(30.0, 1 << 30), Tidying(0.1, 1)):
        assert tidying_from(tidying.told()) == tidying
    assert tidying_from("") is None


def test_garbage_is_collected_and_memory_given_back():
    gc.disable()
    try:
        knot = weakref.ref(Knot())
        Tidying(1.0, resident_bytes() // 2).tidy()
        assert knot() is None
    finally:
        gc.enable()


def test_this_process_holds_memory():
    assert resident_bytes() > 1 << 20


def test_an_inbox_tells_whether_anything_comes():
    ours, theirs = line_pair()
    with ours, theirs:
        inbox = Inbox(theirs)
        assert not inbox.comes_within(0.0)
        ours.send(b"x")
        assert inbox.comes_within(10.0)
