import os
import time

import psutil
import pytest

from scaler.worker.usage import Usage


def test_memory_is_what_the_kernel_counts_and_a_share_of_cpu_needs_a_look_before():
    (percent, rss_bytes) = Usage().of([os.getpid()])[os.getpid()]
    assert percent == 0.0
    assert rss_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_cpu_is_a_share_of_the_time_since_the_look_before():
    own = Usage()
    own.of([os.getpid()])
    spent_s, then = sum(os.times()[:2]), time.monotonic()
    while sum(os.times()[:2]) < spent_s + 0.2:
        sum(range(10_000))
    share = 100 * (sum(os.times()[:2]) - spent_s) / (time.monotonic() - then)
    assert own.of([os.getpid()])[os.getpid()][0] == pytest.approx(share, rel=0.25)


def test_what_was_not_looked_at_last_is_new():
    own = Usage()
    own.of([os.getpid()])
    own.of([])
    assert own.of([os.getpid()])[os.getpid()][0] == 0.0


def test_a_process_that_is_gone_is_left_out():
    assert Usage().of([2**22 + 1]) == {}
