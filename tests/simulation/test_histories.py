"""Thousands of histories of the whole system: every task answered once, nothing left over, and everything met."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import pytest

from scaler.core.lifecycle import TRANSITIONS, State, Trigger
from tests.simulation.faults import FAULTS
from tests.simulation.history import LEAST_FAULTS
from tests.simulation.plan import TASKS
from tests.simulation.tally import Tally
from tests.simulation.trees import POLLING, WAITING

pytestmark = pytest.mark.alone

HISTORIES = 3000
SOME_MORE = 300
LEAST_BATCHES = 3
#: what is to be met of tasks that submit tasks: the ways in which they wait, and what becomes of them
NESTED = {
    *WAITING, *POLLING, "ended", "killed", "left to nobody", "parked", "parked unasked", "unparked unasked", "refused",
    *(f"at depth {depth}" for depth in range(1, 7)),
}  # fmt: skip
PROCESSES = max(2, len(os.sched_getaffinity(0)))
#: each process is given its share in so many parts, or fewer if others are quicker
PARTS = 3
#: no history can bring these about; which test drives them
ELSEWHERE: dict[tuple[State, Trigger], str] = {}


def histories(first: int, last: int) -> Tally:
    """Play these in a process of their own."""
    command = [sys.executable, "-m", "tests.simulation", "--first", str(first), "--last", str(last)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return Tally.from_json(json.loads(ended.stdout))


def play(total: Tally, count: int) -> None:
    """So many more histories."""
    size = -(-count // (PARTS * PROCESSES))
    parts = range(total.histories, total.histories + count, size)
    with ThreadPoolExecutor(PROCESSES) as processes:
        for part in processes.map(lambda first: histories(first, first + size), parts):
            total.add(part)


def missing(total: Tally) -> set[tuple[State, Trigger]]:
    """The moves of the table that no history has met, but could have."""
    return set(TRANSITIONS) - set(ELSEWHERE) - set(total.moves)


@pytest.mark.timeout(600)
def test_every_task_is_answered_once_and_nothing_is_left_over(capsys: pytest.CaptureFixture[str]):
    begin = time.monotonic()
    total = Tally()
    play(total, HISTORIES)
    while missing(total) and total.histories < 2 * HISTORIES:
        play(total, SOME_MORE)  # the rarest moves take a few thousand histories
    with capsys.disabled():
        # the one place where a test talks: its figures are what it is for
        print(f"\n{time.monotonic() - begin:.0f} s in {PROCESSES} processes\n{total.table(ELSEWHERE)}")  # noqa: T201  # it is to be seen
    assert total.histories >= HISTORIES
    assert total.tasks >= total.histories * TASKS
    assert total.batches >= total.histories * LEAST_BATCHES
    assert sum(total.kinds.values()) >= total.histories * LEAST_FAULTS
    assert set(total.pairs) == set(combinations(sorted(FAULTS), 2))
    assert missing(total) == set()
    assert set(total.nested) == NESTED
    assert not set(ELSEWHERE) & set(total.moves)
