import os
from pathlib import Path

import psutil
import pytest

from scaler.worker import usage
from scaler.worker.usage import Usage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_memory_is_what_the_kernel_counts_and_a_share_of_cpu_needs_a_look_before():
    (percent, rss_bytes) = Usage(Clock()).of([os.getpid()])[os.getpid()]
    assert percent == 0.0
    assert rss_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_cpu_is_a_share_of_the_time_since_the_look_before():
    clock = Clock()
    own = Usage(clock)
    own.of([os.getpid()])
    spent = os.times()
    while sum(os.times()[:2]) < sum(spent[:2]) + 0.05:
        sum(range(10_000))
    clock.now += 0.5
    assert 8 <= own.of([os.getpid()])[os.getpid()][0] <= 40
    assert own.of([os.getpid()])[os.getpid()][0] == 0.0  # no time has passed


def test_a_process_that_is_gone_is_left_out():
    assert Usage(Clock()).of([2**22 + 1]) == {}


def test_a_name_with_spaces_and_brackets_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fields = ["S", *["0"] * 10, "100", "50", *["0"] * 8, "7"]
    path = tmp_path / "stat"
    path.write_text(f"5 (a ) (b) {' '.join(fields)}\n")
    monkeypatch.setattr(usage, "open", lambda *_args, **kwargs: path.open(**kwargs), raising=False)
    assert Usage(Clock()).of([5]) == {5: (0.0, 7 * os.sysconf("SC_PAGE_SIZE"))}
