"""The tasks of a batch as a map of spans: sorted, disjoint, and no two neighbours that could be one.

Spans are values. A move takes some out of the map and puts others in, and tells which, so that indexes can follow.
"""

import enum
import math
from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct

from scaler.core.lifecycle import State
from scaler.core.runs import Run
from scaler.ids import RunId

#: so many least run times within a factor of 2 are told apart
STEPS = 16


class Needs(NamedTuple):
    """What earlier attempts taught about where a task may be placed.

    `alone`: on a cluster that has nothing else, since a host vanished under it, or two may have. `least_s`: it is known
    to run at least that long, rounded up to the next of `STEPS` an octave: tasks that need the same queue together, and
    the queue looks at each kind of them.
    """

    alone: bool
    least_s: float


NO_NEEDS = Needs(alone=False, least_s=0.0)


class Counts(NamedTuple):
    """What was charged to a task so far: attempts that began and ended in vain, and why, and its least run time.

    `lost`: so often what it needs could not be had though it was to be there.

    `suspected`: so often its host vanished when it may just have begun, which nobody had heard of. After the second
    time it runs alone; if one more vanishes under it then, these count, too.

    `tried`: the runs whose attempts were charged as `died` or `raised`. A cluster that is given up and comes back may
    tell of one again.
    """

    began: int = 0
    died: int = 0
    raised: int = 0
    vanished: int = 0
    suspected: int = 0
    lost: int = 0
    least_s: float = 0.0
    tried: tuple[RunId, ...] = ()

    @property
    def needs(self) -> Needs:
        """What follows from it for the next placement."""
        least_s = 2.0 ** (math.ceil(math.log2(self.least_s) * STEPS) / STEPS) if self.least_s > 0 else 0.0
        return Needs(alone=self.vanished > 0 or self.suspected > 1, least_s=least_s)

    @property
    def hosts_lost(self) -> int:
        """How many hosts it may have taken down, if it has taken down any."""
        return self.vanished + self.suspected if self.vanished else 0

    def suspect(self) -> "Counts":
        """Its host has vanished, and it may just have begun."""
        return self if self.needs.alone else self._replace(suspected=self.suspected + 1)


NO_COUNTS = Counts()


class Wait(enum.Enum):
    """What a span in WAITING waits for."""

    NOTHING = ""  #: it is not in WAITING
    ARGUMENTS = "arguments"  #: its client was asked for them
    ROOM = "room"  #: its client has not taken results for a while
    FUNCTION = "function"  #: its client was asked for it
    BACKOFF = "backoff"  #: the pause before its next attempt
    INPUTS = "inputs"  #: tasks and objects it depends on
    WORKERS = "workers"  #: every worker makes this call


class Span(Struct):
    """The tasks [lo, hi) of a batch, which all stand in the same place; never changed once it is in a map."""

    lo: int
    hi: int
    state: State
    run: Run | None = None
    counts: Counts = NO_COUNTS
    wait: Wait = Wait.NOTHING

    def continues(self, other: "Span") -> bool:
        """Whether the two differ in nothing but their range."""
        return (
            self.state is other.state
            and self.run is other.run
            and self.wait is other.wait
            and (self.counts is other.counts or self.counts == other.counts)
        )


_start = attrgetter("lo")


class SpanMap:
    """The spans of one batch, by index; what is in none of them is unknown or gone."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        #: sorted by lo, disjoint, neighbours that touch differ
        self._spans: list[Span] = []

    def __len__(self) -> int:
        return len(self._spans)

    def all(self) -> list[Span]:
        """Every span, in order."""
        return list(self._spans)

    def _find(self, index: int) -> int:
        """The position of the last span that begins at or before an index, or -1."""
        spans = self._spans
        if spans and spans[-1].lo <= index:
            return len(spans) - 1
        return bisect_right(spans, index, key=_start) - 1

    def at(self, index: int) -> Span | None:
        """The span that holds an index."""
        position = self._find(index)
        if position < 0:
            return None
        span = self._spans[position]
        return span if index < span.hi else None

    def within(self, lo: int, hi: int) -> list[Span]:
        """The parts of spans that lie in [lo, hi), as values of their own."""
        spans = self._spans
        position = self._find(lo)
        if position < 0 or spans[position].hi <= lo:
            position += 1
        found = []
        while position < len(spans) and (span := spans[position]).lo < hi:
            if span.lo < lo or span.hi > hi:
                span = Span(
                    max(span.lo, lo),
                    min(span.hi, hi),
                    span.state,
                    span.run,
                    span.counts,
                    span.wait,
                )
            found.append(span)
            position += 1
        return found

    def move(self, old: Span, new: Span) -> tuple[list[Span], list[Span]]:
        """Put `new` where `old` covers it whole; returns the spans taken out of the map and those put in."""
        if old.continues(new):
            return [], []
        spans = self._spans
        lo, hi = new.lo, new.hi
        first = self._find(old.lo)
        last = first + 1
        put: list[Span] = []
        if old.lo < lo:
            put.append(Span(old.lo, lo, old.state, old.run, old.counts, old.wait))
        elif first and (left := spans[first - 1]).hi == lo and left.continues(new):
            lo, first = left.lo, first - 1
        tail = None
        if hi < old.hi:
            tail = Span(hi, old.hi, old.state, old.run, old.counts, old.wait)
        elif last < len(spans) and (right := spans[last]).lo == hi and right.continues(new):
            hi, last = right.hi, last + 1
        put.append(new if hi - lo == new.hi - new.lo else Span(lo, hi, new.state, new.run, new.counts, new.wait))
        if tail is not None:
            put.append(tail)
        taken = spans[first:last]
        spans[first:last] = put
        return taken, put

    def add(self, new: Span) -> tuple[list[Span], list[Span]]:
        """Put a span where nothing was; returns the spans taken out of the map and those put in, as `move`."""
        spans = self._spans
        first = self._find(new.lo) + 1
        last = first
        lo, hi = new.lo, new.hi
        if first and (left := spans[first - 1]).hi == lo and left.continues(new):
            lo, first = left.lo, first - 1
        if last < len(spans) and (right := spans[last]).lo == hi and right.continues(new):
            hi, last = right.hi, last + 1
        put = [new if hi - lo == new.hi - new.lo else Span(lo, hi, new.state, new.run, new.counts, new.wait)]
        taken = spans[first:last]
        spans[first:last] = put
        return taken, put

    def drop(self, old: Span, lo: int, hi: int) -> None:
        """Take [lo, hi) out of the span that covers it: these tasks are gone."""
        position = self._find(old.lo)
        rest = []
        if old.lo < lo:
            rest.append(Span(old.lo, lo, old.state, old.run, old.counts, old.wait))
        if hi < old.hi:
            rest.append(Span(hi, old.hi, old.state, old.run, old.counts, old.wait))
        self._spans[position : position + 1] = rest
