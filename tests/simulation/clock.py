"""Simulated time: what is to happen, in order; nothing ever waits."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import islice, repeat

#: no history needs a tenth of it
MOST_EVENTS = 100_000
TICK_S = 1e-6


class Clock:
    """Calls functions at simulated times; equal times in the order they were asked for."""

    __slots__ = ("_actions", "_times", "now")

    def __init__(self) -> None:
        self.now = 100.0
        #: a heap of the keys of `_actions`: bare numbers are compared much faster than what goes with them
        self._times: list[float] = []
        self._actions: dict[float, list[Callable[[], object]]] = {}

    def forget(self) -> None:
        """Nothing more is to happen."""
        self._times.clear()
        self._actions.clear()

    def at(self, time: float, action: Callable[[], object]) -> None:
        """Call `action` at a time, which is now if it is past."""
        if time < self.now:  # noqa: PLR1730  # `max` takes longer, and this is called all the time
            time = self.now
        actions = self._actions
        if time in actions:
            actions[time].append(action)
        else:
            actions[time] = [action]
            heappush(self._times, time)

    def after(self, delay_s: float, action: Callable[[], object]) -> None:
        """Call `action` so much later."""
        self.at(self.now + delay_s, action)

    def run(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass until the time given or until it is `done`, asked at each moment; whether it is."""
        times, actions = self._times, self._actions
        for _ in repeat(None, MOST_EVENTS):
            if not times or times[0] > until:
                break
            if done is not None and done():
                return True
            self.now = now = times[0]
            for action in islice(actions[now], MOST_EVENTS):  # they may ask for more at this time
                action()
            if len(actions.pop(heappop(times))) >= MOST_EVENTS:
                raise AssertionError("something happens again and again, and no time passes")
        else:
            raise AssertionError("something happens again and again, and nothing comes of it")
        if done is not None and done():
            return True
        if times and until > self.now:
            self.now = until
        return False


class Wake:
    """One pending wake-up of a node: asking for an earlier time replaces it."""

    __slots__ = ("_action", "_asked", "_clock", "due")

    def __init__(self, clock: Clock, action: Callable[[], None]) -> None:
        self._clock = clock
        self._action = action
        #: the first time at which the clock calls, never after `due`; later calls, of times given up, change nothing
        self._asked: float | None = None
        #: when it wakes, None if it does not
        self.due: float | None = None

    def ask(self, due: float | None) -> None:
        """Wake at this time, unless an earlier one was asked for."""
        if due is None or (self.due is not None and self.due <= due):
            return
        # a sum of floats may be due and not be reached yet; in the real world the clock has gone on meanwhile
        due = self.due = max(due, self._clock.now + TICK_S)
        if self._asked is None or due < self._asked:
            self._asked = due
            self._clock.at(due, self._called)

    def _called(self) -> None:
        now, due = self._clock.now, self.due
        if self._asked is not None and self._asked <= now:
            self._asked = None
        if due is None:
            return
        if due <= now:
            self.due = None
            self._action()
        elif self._asked is None:
            self._asked = due
            self._clock.at(due, self._called)
