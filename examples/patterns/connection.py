"""Where a pattern runs: at the scheduler whose address is its argument, else on workers of its own."""

import contextlib
import sys
from collections.abc import Iterator

from scaler import Client, SchedulerClusterCombo


@contextlib.contextmanager
def connected(n_workers: int, threads_per_worker: int = 1) -> Iterator[Client]:
    """A client; without an argument to the program, of a cluster that lives as long as the block."""
    if len(sys.argv) > 1:
        with Client(sys.argv[1]) as client:
            yield client
        return
    with SchedulerClusterCombo(n_workers, threads_per_worker=threads_per_worker) as cluster, Client(cluster) as client:
        yield client
