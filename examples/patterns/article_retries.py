"""What fails is tried again after longer and longer pauses: `python -m examples.patterns.article_retries`."""

import tempfile
import time
from itertools import pairwise
from pathlib import Path

from examples.patterns.connection import connected
from scaler import as_completed

PAUSE_S = 0.2


def process(folder: Path, item: int) -> str:
    """Stands for a service that answers item n only when it is asked for the n-th time."""
    with (folder / str(item)).open("a", encoding="utf-8") as file:
        print(time.time(), file=file)
    asked = times(folder, item)
    if len(asked) < item:
        raise ConnectionError(f"item {item} failed {len(asked)} times")
    return f"item {item} done"


def times(folder: Path, item: int) -> list[float]:
    """When it was asked for an item."""
    return [float(line) for line in (folder / str(item)).read_text(encoding="utf-8").splitlines()]


with tempfile.TemporaryDirectory() as name, connected(2) as client:
    folder = Path(name)
    # Only what may pass by itself is worth another try; any other exception is raised at once.
    futures = {
        client.submit(process, folder, item, retries=3, retry_on=ConnectionError, retry_delay_s=PAUSE_S): item
        for item in (1, 2, 4, 9)
    }
    for future in as_completed(futures):
        error = future.exception()
        said = future.result() if error is None else f"given up: {error}"
        pauses = [f"{later - earlier:.2f}" for earlier, later in pairwise(times(folder, futures[future]))]
        print(f"{said}; attempts: {future.profiling_info().attempts}, pauses in s: {' '.join(pauses) or 'none'}")
