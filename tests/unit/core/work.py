"""How much a turn has to do, counted: the calls of functions that it makes."""

import sys
from collections.abc import Iterable
from types import FrameType

from scaler.core.events import Command, Event
from scaler.core.scheduler import SchedulerCore
from tests.unit.core.examples import Checked


def calls_of(core: Checked, events: Iterable[Event], now: float = 0.0) -> int:
    """The calls that a turn makes, generators that go on included, without those of the checks behind it."""
    return turn_of(core, events, now)[0]


def turn_of(core: Checked, events: Iterable[Event], now: float = 0.0) -> tuple[int, list[Command]]:
    """The same, and what the turn decides."""
    count = 0

    def counted(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    events = list(events)
    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        commands = SchedulerCore.handle(core, events, now)
    finally:
        sys.setprofile(before)
    core.check()
    return count, commands
