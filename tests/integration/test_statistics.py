"""How clusters fare, as readers of the monitor stream see it while they read."""

import time
from collections.abc import Callable
from typing import Any

from scaler import Client
from tests.integration.processes import Place
from tests.integration.test_monitor_stream import Reader, changed, monitor_of, reading


def spin(seconds: float) -> int:
    until, turns = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        turns += 1
    return turns


def test_figures_of_clusters_and_workers_change_with_what_they_do(place: Place):
    scheduler, address = place.scheduler()
    cluster = place.cluster(address, 2, "--heartbeat-interval", "0.2")
    with reading(monitor_of(scheduler), "state") as reader, Client(address) as client:
        at_rest = _statistics(reader, lambda told: len(told["workers"]) == 2 and told["running"] == 0)
        assert at_rest["queued"] == 0
        assert at_rest["rss_bytes"] > 1 << 20
        workers = {pid for _, pid, _, rss_bytes in at_rest["workers"] if rss_bytes > 1 << 20}
        assert workers <= set(place.below(cluster.pid))
        assert len(workers) == 2
        futures = [client.submit(spin, 3.0) for _ in range(3)]
        _statistics(reader, lambda told: told["running"] == 2 and max(_shares(told)) > 10.0)
        for future in futures:
            future.cancel()
        client.disconnect()
        _statistics(reader, lambda told: told["running"] == 0 and max(_shares(told)) < 5.0)


def _shares(statistics: dict[str, Any]) -> list[float]:
    return [cpu_percent for _, _, cpu_percent, _ in statistics["workers"]]


def _statistics(reader: Reader, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first statistics of the one cluster that are as wanted."""
    tables: dict[str, Any] = {}
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        _, kind, _, _, body = reader.next()
        tables = body if kind == "snapshot" else changed(tables, body)
        for row in tables.get("clusters", {}).values():
            found: dict[str, Any] | None = row["statistics"]
            if found is not None and is_it(found):
                return found
    raise AssertionError(f"no such statistics: {tables}")
