"""How long lone calls take."""

import statistics
import time
from collections.abc import Sequence

from scaler import Client


def percentile_99(values: Sequence[float]) -> float:
    """The value that one in a hundred is above."""
    return sorted(values)[int(0.99 * (len(values) - 1))]


def round_trips_ms(client: Client, seconds: float) -> tuple[float, float]:
    """The median and the 99th percentile of lone round trips for so long."""
    until = time.monotonic() + seconds
    found = []
    while (started := time.monotonic()) < until:
        client.submit(abs, -1).result()
        found.append(1000 * (time.monotonic() - started))
    return statistics.median(found), percentile_99(found)
