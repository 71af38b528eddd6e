"""How long tasks of a function take: medians and 95th percentiles of a few samples, on a logarithmic scale."""

from bisect import bisect_left
from collections import OrderedDict
from itertools import accumulate

from scaler.ids import FunctionId
from scaler.protocol.columns import Frame

#: So much is lost between two tasks of a slot, however short they are.
OVERHEAD_S = 2e-6
#: A function nobody has seen finishing counts as this long.
UNKNOWN_S = 1.0
#: So many results of one piece are looked at.
SAMPLES_PER_PIECE = 16
#: Beyond so many samples the older ones count half.
_FORGET_AT = 512
#: Functions remembered; the one that ran longest ago is forgotten first.
_REMEMBERED = 4096
_BUCKETS = 4 * 33
#: A result doubles what may be sent of a function, until this many tasks a slot.
_WIDE_OPEN = 1 << 30


def _bucket(run_us: int) -> int:
    """Four buckets an octave, by the three leading bits."""
    bits = run_us.bit_length()
    if bits < 3:
        return run_us
    return (bits - 2) * 4 + (run_us >> (bits - 3)) - 4


def _middle_us(bucket: int) -> float:
    """The middle of a bucket."""
    if bucket < 4:
        return float(bucket)
    octave, quarter = divmod(bucket, 4)
    return float((4.5 + quarter) * (1 << (octave - 1)))


class RunTimes:
    """What is known of the run time of one function under one tag."""

    __slots__ = (
        "_counts",
        "_looked_at",
        "estimate_s",
        "nests",
        "p50_s",
        "p95_s",
        "ramp",
        "samples",
    )

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.samples = 0
        self._looked_at = 0
        self.p50_s = 0.0
        self.p95_s = 0.0
        #: what one more task is expected to cost a slot
        self.estimate_s = UNKNOWN_S
        #: tasks a slot that may be at a cluster: doubled by each message with results
        self.ramp = 1
        #: tasks of it have submitted others: none is sent ahead, so that what they wait for is not queued behind them
        self.nests = False

    def observe(self, run_us: Frame) -> None:
        """Take in a column of run times of one message, a few samples of it."""
        times = memoryview(run_us).cast("B").cast("I")
        looked_at = times[:: -(-len(times) // SAMPLES_PER_PIECE)].tolist()
        counts = self._counts
        for time_us in looked_at:
            counts[_bucket(time_us)] += 1
        self.samples += len(looked_at)
        if self.ramp < _WIDE_OPEN:
            self.ramp *= 2
        if self.samples * 8 >= self._looked_at * 9:
            self._look()

    def _look(self) -> None:
        """Read the percentiles anew; done whenever an eighth more is known."""
        seen = list(accumulate(self._counts))
        half, most = (self.samples + 1) // 2, -(-self.samples * 19 // 20)
        self.p50_s = _middle_us(bisect_left(seen, half)) / 1e6
        self.p95_s = _middle_us(bisect_left(seen, most)) / 1e6
        self.estimate_s = max(self.p50_s, OVERHEAD_S)
        if self.samples >= _FORGET_AT:
            self._counts = [count // 2 for count in self._counts]
            self.samples = sum(self._counts)
        self._looked_at = self.samples


class RunTimeTable:
    """The run times of every (function, tag) seen lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[FunctionId, str | None], RunTimes] = OrderedDict()

    def of(self, function: FunctionId, tag: str | None) -> RunTimes:
        """The record of a function under a tag, made when it is new."""
        key = (function, tag)
        times = self._known.get(key)
        if times is None:
            times = self._known[key] = RunTimes()
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return times
