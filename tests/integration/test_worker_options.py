"""Every option of a worker cluster shows its effect on real processes; those of memory, GPUs and code on their own."""

import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from scaler import Client
from tests.integration.processes import STOP_S, Place, wait_until
from tests.integration.submitting import submit
from tests.integration.test_monitor_stream import monitor_of, reading
from tests.integration.workloads import LONG_S, timed


def module(place: Place, name: str, text: str) -> None:
    """A module in the folder of this place."""
    Path(place.path(f"{name}.py")).write_text(text, encoding="utf-8")


# ---- how many, and what they are called


def place_of(error: BaseException | None) -> str:
    """Where a task failed, as its error says."""
    return str(getattr(error, "__notes__", [""])[-1])


@pytest.mark.parametrize("option", ["-n", "--workers", "--num-of-workers"])
def test_there_are_as_many_workers_as_were_asked_for(place: Place, address: str, client: Client, option: str):
    command = place.start("scaler_worker", option, "3", address)
    command.wait_for("connected")
    assert len(set(client.map(lambda _: (os.getpid(), time.sleep(0.1)), range(9)))) == 3


def test_without_a_number_there_is_a_worker_for_each_cpu_it_may_use(place: Place, address: str):
    command = place.start("scaler_worker", address)
    cpus = len(os.sched_getaffinity(0))
    assert f"starting {cpus} workers" in command.wait_for("ClusterProcess: starting")


def test_a_cluster_and_its_workers_are_called_what_they_were_given(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--name", "here", "--worker-names", "alice")
    assert "(here), worker alice, attempt 1" in place_of(client.submit(int, "x").exception())


def test_tasks_run_side_by_side_in_the_threads_of_a_worker(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "4")
    begun = time.monotonic()
    assert len({pid for pid, _ in client.map(lambda _: (os.getpid(), time.sleep(0.5)), range(4))}) == 1
    assert time.monotonic() - begun < 1.5


# ---- what runs there


def test_tasks_with_a_tag_run_where_that_tag_is(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--name", "tagged", "--tag", "big,gpu", "--tag", "odd")
    place.cluster(address, 1, "--name", "plain")
    for tag in ("big", "gpu", "odd"):
        errors = [submit(client, int, "x", tag=tag).exception() for _ in range(3)]
        assert all("(tagged), worker 0" in place_of(error) for error in errors)


def test_tasks_look_for_modules_in_the_python_path_first_and_then_in_the_working_directory(
    place: Place, address: str, client: Client, monkeypatch: pytest.MonkeyPatch
):
    for folder, names in (("first", ("mod_a",)), ("second", ("mod_a", "mod_b")), ("work", ("mod_b", "mod_c"))):
        (place.folder / folder).mkdir()
        for name in names:
            (place.folder / folder / f"{name}.py").write_text(f"FOLDER = {folder!r}", encoding="utf-8")
    monkeypatch.chdir(place.folder / "work")
    place.cluster(address, 1, "--python-path", f"{place.folder}/first:{place.folder}/second")

    def folders() -> list[str]:
        return [__import__(name).FOLDER for name in ("mod_a", "mod_b", "mod_c")]

    assert client.submit(folders).result() == ["first", "second", "work"]


def of_its_own(seconds: float) -> int:
    """Compute for a while."""
    until, turns = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        turns += 1
    return turns


@pytest.mark.parametrize(("interval", "least", "most"), [("0.2", 3, 9), ("30", 0, 1)])
def test_a_cluster_tells_how_it_fares_as_often_as_its_heartbeat(place: Place, interval: str, least: int, most: int):
    scheduler, address = place.scheduler()
    place.cluster(address, 1, "--heartbeat-interval", interval)
    with reading(monitor_of(scheduler), "state") as reader, Client(address=address) as client:
        client.submit(of_its_own, 5.0)
        told: list[object] = []
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            _, _, _, _, body = reader.next()
            rows = [row for row in body.get("clusters", {}).values() if row is not None]
            told += [row["statistics"] for row in rows if row["statistics"] not in (None, *told[-1:])]
    assert least <= len(told) <= most


# ---- memory that is free


def fragment() -> None:
    """Take 200 MB of which most is free again, but not to the system: the last piece holds the heap up."""
    pieces = [bytearray(100_000) for _ in range(2000)]
    kept.append(pieces[-1])


kept: list[bytearray] = []


def resident() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize(("threshold", "is_trimmed"), [("1000000", True), ("100000000000", False)])
def test_a_worker_that_holds_more_than_its_threshold_gives_back_what_is_free(
    place: Place, address: str, client: Client, threshold: str, *, is_trimmed: bool
):
    place.cluster(address, 1, "--garbage-collect-interval", "0.2", "--trim-memory-threshold", threshold)
    before = client.submit(resident).result()
    client.submit(fragment).result()
    assert client.submit(resident).result() > before + 150_000_000
    time.sleep(1.0)
    assert (client.submit(resident).result() < before + 50_000_000) == is_trimmed


# ---- how it ends


@pytest.mark.parametrize("grace_s", [0, 20])
def test_running_tasks_are_given_the_grace_after_sigterm(place: Place, address: str, client: Client, grace_s: int):
    first = place.cluster(address, 1, "--grace", str(grace_s))
    future = client.submit(timed, place.path("runs"), 7, 1.5)
    wait_until(lambda: place.lines("runs"), "it runs")
    waiting = client.submit(timed, place.path("others"), 8, 0.0)
    first.send(signal.SIGTERM)
    place.cluster(address, 1)
    assert waiting.result() == 8  # what had not begun goes elsewhere at once
    assert first.wait(STOP_S) == 0
    assert future.result() == 7
    assert len(place.lines("runs")) == (1 if grace_s else 2)


def test_a_second_sigterm_ends_the_grace(place: Place, address: str, client: Client):
    command = place.cluster(address, 1, "--grace", "60")
    client.submit(timed, place.path("runs"), 7, LONG_S)
    wait_until(lambda: place.lines("runs"), "it runs")
    command.send(signal.SIGTERM)
    command.wait_for("stopping, SIGTERM")
    assert command.process.poll() is None
    assert command.end(within_s=STOP_S) == 0


@pytest.mark.parametrize("variable", ["", "SLURM_JOB_END_TIME"])
def test_before_the_end_of_its_walltime_a_cluster_begins_nothing_that_cannot_finish_and_leaves(
    place: Place, address: str, client: Client, variable: str, monkeypatch: pytest.MonkeyPatch
):
    other = place.cluster(address, 1)
    assert client.map(timed, [(place.path("warm"), number, 1.5) for number in range(2)]) == [0, 1]
    other.end()
    ends_at = time.time() + 5.0
    if variable:
        monkeypatch.setenv(variable, str(ends_at))
        short = place.cluster(address, 1)
        monkeypatch.delenv(variable)
    else:
        short = place.cluster(address, 1, "--end-time", str(ends_at))
    futures = [client.submit(timed, place.path("runs"), number, 1.5) for number in range(4)]
    assert short.wait(within_s=8.0) == 0
    assert time.time() < ends_at + 1.0
    assert "the walltime is over" in short.out
    begun = len(place.lines("runs"))
    assert begun in {1, 2}  # the last two of the five seconds are kept for the end
    place.cluster(address, 1)
    assert client.gather(futures) == list(range(4))
    assert sorted(int(line.split()[0]) for line in place.lines("runs")) == list(range(4))


def test_without_a_scheduler_for_its_death_timeout_a_cluster_ends(place: Place):
    begun = time.monotonic()
    command = place.start("scaler_worker", "-n", "1", "--death-timeout", "1.5", "ipc://nobody-here")
    assert command.wait(within_s=1.5 + STOP_S) == 1
    assert time.monotonic() - begun > 1.5
    assert "no scheduler for 1.5 s" in command.out


@pytest.mark.parametrize("source", ["option", "variable"])
def test_a_folder_of_modules_that_is_not_there_is_told(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch, source: str
):
    missing = place.path("nope")
    if source == "option":
        cluster = place.cluster(address, 1, "--python-path", str(place.folder), "--python-path", missing)
    else:
        monkeypatch.setenv("SCALER_PYTHON_PATH", f"{place.folder}:{missing}")
        cluster = place.cluster(address, 1)
    where = {"option": "--python-path", "variable": "SCALER_PYTHON_PATH"}[source]
    assert cluster.err == f"scaler_worker: warning: {where}: there is no {missing}; no task finds a module there\n"


# ---- --preload

SETUP = """
import os, sys
ready = []
def begin(*args, **kwargs):
    ready.append((args, kwargs))
def once(path):
    with open(path, "x"):
        pass
class Model:
    @classmethod
    def load(cls):
        ready.append("loaded")
"""


def preloaded() -> object:
    """What the module that was preloaded here has of its function."""
    return sys.modules["setting"].ready if "setting" in sys.modules else None  # type: ignore[attr-defined]  # the test's own


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("setting:begin", [((), {})]),
        ("setting:begin('a', k=[1, 2])", [(("a",), {"k": [1, 2]})]),
        ("setting:Model.load", ["loaded"]),
    ],
)
def test_preload_calls_a_function_once_in_every_worker_before_its_first_task(
    place: Place, address: str, client: Client, call: str, expected: object
):
    module(place, "setting", SETUP)
    place.cluster(address, 2, "--python-path", str(place.folder), "--preload", call)
    found = client.map(lambda _: (os.getpid(), preloaded(), time.sleep(0.05)), range(8))
    assert len({pid for pid, _, _ in found}) == 2
    assert all(ready == expected for _, ready, _ in found)


def test_a_worker_takes_no_task_before_its_preload_is_done(place: Place, address: str, client: Client):
    module(place, "slow", "import time\ndef begin(): time.sleep(1.5)")
    slow = place.cluster(address, 1, "--python-path", str(place.folder), "--preload", "slow:begin")
    place.cluster(address, 1, "--name", "quick")
    begun = time.monotonic()
    client.map(abs, range(-20, 0))
    assert time.monotonic() - begun < 1.4
    slow.wait_for("Worker[0] started")


def test_a_preload_that_fails_everywhere_ends_the_cluster_and_says_why(place: Place, address: str):
    module(place, "broken", "def begin(): raise ValueError('no such model')")
    command = place.start(
        "scaler_worker", "-n", "2", "--python-path", str(place.folder), "--preload", "broken:begin", address
    )
    assert command.wait() == 2
    assert "no worker could be started: --preload broken:begin: ValueError: no such model" in command.out
    assert "Traceback" in command.err


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise RuntimeError('no licence\\n[INFO] forged')", "RuntimeError: no licence"),
        ("import sys; sys.exit('not here')", "SystemExit: not here"),
        ("import os; os.write(2, b'some words\\n'); os._exit(9)", "it exited with code 9"),
        ("import os; os.abort()", "it was killed by signal 6 (SIGABRT)"),
    ],
    ids=["raises", "exits", "exits at once", "is killed"],
)
def test_why_a_preload_failed_is_told_by_its_worker(place: Place, address: str, body: str, why: str):
    module(place, "broken", f"def begin():\n    {body}\n")
    command = place.start(
        "scaler_worker", "-n", "1", "--python-path", str(place.folder), "--preload", "broken:begin", address
    )
    assert command.wait() == 2
    told = [line.partition("--preload ")[2] for line in command.out.splitlines() if "could not be started" in line]
    assert told == [f"broken:begin: {why}"]


def test_while_a_preload_goes_on_tasks_say_that_no_worker_has_started(place: Place, address: str, client: Client):
    module(
        place,
        "slow",
        f"import os, time\ndef begin():\n    while not os.path.exists({place.path('go')!r}): time.sleep(0.01)\n",
    )
    place.cluster(address, 1, "--python-path", str(place.folder), "--preload", "slow:begin")
    future = client.submit(abs, -1)
    wait_until(lambda: future.explain() == "no worker has started yet", future.explain)
    Path(place.path("go")).touch()
    assert future.result() == 1


def test_a_preload_that_cannot_be_read_is_told_before_anything_starts(place: Place, address: str):
    command = place.start("scaler_worker", "--preload", "no-module:f", address)
    assert command.wait() == 2
    assert command.err.startswith("scaler_worker: --preload: expected module:function or")


# ---- --max-tasks-per-worker


@pytest.mark.parametrize("threads", [1, 2])
def test_no_worker_runs_more_tasks_than_it_may(place: Place, address: str, client: Client, threads: int):
    place.cluster(address, 2, "--max-tasks-per-worker", "5", "--threads", str(threads))
    pids = client.map(lambda _: os.getpid(), range(200))
    counts = [pids.count(pid) for pid in set(pids)]
    assert max(counts) <= 5
    assert len(counts) >= 40
    wait_until(lambda: len(place.processes()) == 5, place.described)  # scheduler, cluster, zygote and two workers


def test_a_worker_that_retires_is_replaced_without_a_gap(place: Place, address: str, client: Client):
    module(place, "slow", "import time\ndef begin(): time.sleep(0.3)")
    place.cluster(
        address, 1, "--max-tasks-per-worker", "2", "--python-path", str(place.folder), "--preload", "slow:begin"
    ).wait_for("Worker[0] started")
    for number in range(8):
        client.submit(timed, place.path("runs"), number, 0.5).result()
    begun = [float(line.split()[2]) for line in place.lines("runs")]
    pids = [line.split()[1] for line in place.lines("runs")]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2, 2]
    gaps = [later - earlier - 0.5 for earlier, later in pairwise(begun)]
    assert sorted(gaps)[-2] < 0.25  # else each of the three would be as long as a preload


# ---- threads of numeric libraries


def thread_limits() -> list[str | None]:
    """What numeric libraries find here."""
    return [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")]


def test_numeric_libraries_are_limited_to_the_threads_of_a_worker(place: Place, address: str, client: Client):
    place.cluster(address, 1, "--threads", "3")
    assert client.submit(thread_limits).result() == ["3"] * 4


def test_a_limit_that_the_user_has_set_stays(
    place: Place, address: str, client: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    place.cluster(address, 1, "--threads", "3")
    assert client.submit(thread_limits).result() == ["7", "5", "7", "7"]
