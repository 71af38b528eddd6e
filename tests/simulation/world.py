"""What all simulated processes share: the time, the network, one source of chance, and a log if anybody reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from scaler.link.link import WINDOW_BYTES
from scaler.protocol.connection import Versions
from tests.simulation.clock import Clock
from tests.simulation.network import Network

VERSIONS = Versions(1, "3.11", 5)
#: the scheduler gives up a peer that is silent for so long
SILENCE_S = 6.0
HEARTBEAT_S = 2.8
#: a process that wakes up so late tells its pure parts
SLEPT_S = 5.0
#: from the first thing that comes until a process takes in all that has come: one is quicker than another
LATENCIES_S = (0.004, 0.016, 0.03)
#: every pure part checks all its invariants in one of so many turns, by the number of the turn …
CHECK_EVERY = 80
#: … and in each of them in one of so many histories, by the seed
CHECKED_EVERY = 100
#: what may be on its way to a peer: all there is, or less than some results are large
WINDOWS_BYTES = (WINDOW_BYTES, WINDOW_BYTES, WINDOW_BYTES, 400, 5000)
#: in one of so many histories all that is sent goes through the codec
ENCODED_EVERY = 10


@dataclass(frozen=True, slots=True)
class World:
    """One history's world."""

    clock: Clock
    network: Network
    chance: Random
    check_every: int
    window_bytes: int
    #: takes a line about each command, or None: lines cost more than the commands
    log: Callable[[str], None] | None


def late_s(now: float, stopped_at: float, due: float | None) -> float | None:
    """How late a process that stood still since then finds itself, if that is worth telling."""
    late = now - max(stopped_at, now if due is None else due)
    return late if late > SLEPT_S else None


def first(one: float | None, other: float | None) -> float | None:
    """The earlier of two times, either of which may be never."""
    if one is None or (other is not None and other < one):
        return other
    return one
