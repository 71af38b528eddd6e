"""`--memory-limit`: the task that passes it fails, with limit and peak, and no other; the next one starts at once."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaler import Client
from scaler.errors import MemoryLimitError
from tests.integration.processes import Place, wait_gone, wait_until
from tests.integration.submitting import submit
from tests.integration.workloads import append, timed

#: what the acceptance list allows until the next task on that slot starts
NEXT_S = 3.0
#: however fast a task is, it gets no further than this beyond its limit
OVERSHOOT = 600e6


def hog(size_bytes: float, step_bytes: float, path: str = "", pause_s: float = 0.0) -> int:
    """Take so much memory, in steps, and say so."""
    if path:
        append(path, os.getpid())
    taken = []
    while len(taken) * step_bytes < size_bytes:
        taken.append(b"x" * int(step_bytes))
        time.sleep(pause_s)
    return len(taken)


def child_hogs(size_bytes: float, path: str) -> int:
    """Start a process that takes so much memory, in a session of its own, and wait for it."""
    code = (
        f"import os, time; print(os.getpid(), file=open({path!r}, 'w')); x = b'x' * {int(size_bytes)}; time.sleep(100)"
    )
    return subprocess.run([sys.executable, "-c", code], start_new_session=True, check=False).returncode


def children_share(size_bytes: float, count: int) -> int:
    """Take so much memory, and have processes that share it with us, for a second."""
    shared = b"x" * int(size_bytes)
    for _ in range(count):
        if not os.fork():
            time.sleep(1.0)
            os._exit(0)
    return sum(os.waitpid(-1, 0)[1] for _ in range(count)) + len(shared)


def peak_bytes(error: BaseException) -> float:
    """What an error says was used."""
    match = re.search(r"with ([\d.]+) (MB|GB), while it ran this task", str(error))
    assert match is not None, error
    return float(match[1]) * (1e6 if match[2] == "MB" else 1e9)


def test_the_task_that_passes_it_fails_with_limit_and_peak_and_the_next_one_starts_at_once(
    place: Place, address: str, client: Client
):
    cluster = place.cluster(address, 2, "--memory-limit", "300M", "--name", "here")
    others = [client.submit(timed, place.path("others"), number, 0.02) for number in range(50)]
    futures = [submit(client, hog, 5e9, 10e6, place.path("hog"), 0.02) for _ in range(1)]
    with pytest.raises(
        MemoryLimitError, match=r"\(here\), worker \d passed its memory limit of 300 MB, with \d+ MB"
    ) as caught:
        futures[0].result()
    ended_at = time.monotonic()
    assert 300e6 < peak_bytes(caught.value) < 300e6 + OVERSHOOT
    assert client.gather(others) == list(range(50))
    following = [client.submit(timed, place.path("next"), number, 0.2) for number in range(2)]
    assert client.gather(following) == [0, 1]
    pids = {line.split()[1] for line in place.lines("next")}
    assert len(pids) == 2
    assert max(float(line.split()[2]) for line in place.lines("next")) - ended_at < NEXT_S
    assert place.lines("hog")[0] not in pids
    assert "passed its memory limit of 300 MB" in cluster.out
    assert cluster.process.poll() is None


def test_what_waits_behind_the_hog_on_its_slot_runs(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "200M")
    assert client.submit(timed, place.path("warm"), 0, 0.001).result() == 0
    hogging = submit(client, hog, 5e9, 10e6, place.path("hog"))
    waiting = client.submit(timed, place.path("next"), 1, 0.0)
    assert isinstance(hogging.exception(), MemoryLimitError)
    ended_at = time.monotonic()
    assert waiting.result() == 1
    assert float(place.lines("next")[0].split()[2]) - ended_at < NEXT_S


def test_a_hog_as_fast_as_can_be_is_caught_before_it_has_taken_the_host(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "500M")
    error = submit(client, hog, 8e9, 8e9).exception()
    assert isinstance(error, MemoryLimitError)
    assert peak_bytes(error) < 500e6 + 2 * OVERSHOOT


def test_what_a_process_of_a_task_takes_counts(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "300M")
    error = submit(client, child_hogs, 4e9, place.path("child")).exception()
    assert isinstance(error, MemoryLimitError)
    wait_gone([int(place.lines("child")[0])])


def test_what_processes_share_counts_once(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "400M")
    assert submit(client, children_share, 200e6, 6).result() == 200e6


def test_it_is_tried_again_as_often_as_its_retries_say(place: Place, address: str, client: Client):
    place.cluster(address, 2, "--memory-limit", "200M")
    error = submit(client, hog, 5e9, 10e6, place.path("hog"), retries=2).exception()
    assert isinstance(error, MemoryLimitError)
    assert len(set(place.lines("hog"))) == 3


def beside(path: str, number: int, size_bytes: float) -> int:
    """Stay beside two others, the first time; one of us takes memory."""
    append(path, number)
    runs = len(Path(path).read_text(encoding="utf-8").split())
    while (begun := len(Path(path).read_text(encoding="utf-8").split())) < 3:
        time.sleep(0.005)
    if size_bytes:
        hog(size_bytes, 10e6, pause_s=0.01)
    time.sleep(100 if runs <= 3 and begun == 3 else 0)
    return number


def test_of_several_threads_only_the_one_that_passes_it_is_charged(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "300M", "--threads", "3")
    futures = [submit(client, beside, place.path("runs"), number, 5e9 * (number == 1)) for number in range(3)]
    assert [futures[0].result(), futures[2].result()] == [0, 2]
    assert isinstance(futures[1].exception(), MemoryLimitError)


def test_a_preload_that_passes_it_is_told(place: Place, address: str):
    Path(place.path("big.py")).write_text("def begin(): return [b'x' * 10**7 for _ in range(10**6)]", encoding="utf-8")
    words = ("--memory-limit", "200M", "--python-path", str(place.folder), "--preload", "big:begin")
    command = place.start("scaler_worker", "-n", "1", *words, address)
    assert command.wait() == 2
    assert "--preload big:begin: it passed the memory limit: it used" in command.out


def test_without_a_limit_nobody_looks(place: Place, address: str, client: Client):
    place.cluster(address, 1)
    assert submit(client, hog, 400e6, 10e6).result() == 40


def test_a_worker_below_its_limit_is_left_alone(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--memory-limit", "400M")
    pids = {client.submit(timed, place.path("runs"), number, 0.05).result() for number in range(10)}
    assert pids == set(range(10))
    assert submit(client, hog, 300e6, 10e6, "", 0.02).result() == 30
    wait_until(lambda: len({line.split()[1] for line in place.lines("runs")}) == 1, "one worker ran them all")
