"""A large array for tasks on many hosts: network namespaces on one bridge, each with a cluster that shares no memory.

Beside it another client has small tasks run by a cluster of its own, and asks the scheduler itself a question each
time, so that the longest answer bounds how long the scheduler's loop stood still. All these hosts share the processors
of this machine, unless those that fetch are kept `apart`: on all processors but the first, which the others have.
"""

import contextlib
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy
import tasks
from adapters._base import Base, Unsupported

from scaler import Client
from scaler.errors import UnknownTagError

SCRIPT = Path(__file__).resolve().parents[3] / "tests" / "infra" / "netns_hosts.sh"
PREFIX, NETWORK = f"b{os.getpid() % 10_000_000}", "10.239.77"
ADDRESS = f"tcp://{NETWORK}.1:8516"
JOINING_S = 30.0
QUIET_S = 10.0
#: until the process of the others has begun
STARTING_S = 1.0
#: of the cluster that has the small tasks of others
OTHERS = "others"


def script(*words: str) -> None:
    """Have the script do something."""
    subprocess.run([str(SCRIPT), *words], env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _environment() -> dict[str, str]:
    return os.environ | {"NETNS_PFX": PREFIX, "NETNS_NET": NETWORK}


@contextlib.contextmanager
def hosts(count: int) -> Iterator[Path]:
    """So many; the folder has a folder in memory for each."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise Unsupported("network namespaces need root and iproute2")
    folder = Path(tempfile.mkdtemp(prefix="spread-", dir="/dev/shm"))
    try:
        script("up", str(count))
        for number in range(1, count + 1):
            (folder / f"h{number}").mkdir()
        yield folder
    finally:
        script("down")
        shutil.rmtree(folder, ignore_errors=True)


def on(host: str, folder: Path, processors: str, name: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start one of the project's commands on a host, with shared memory of its own, and on these processors."""
    own_memory = ["sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"', str(folder / host)]
    program = ["taskset", "-c", processors, str(Path(sys.executable).parent / name)]
    words = [str(SCRIPT), "run", host, *own_memory, *program, *map(str, arguments)]
    return subprocess.Popen(words, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def sent_bytes(host: str) -> int:
    """What a host has sent so far."""
    words = ["ip", "netns", "exec", PREFIX + host, "cat", "/sys/class/net/eth0/statistics/tx_bytes"]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def await_tag(client: Client, tag: str) -> None:
    """Until a task of this tag has run."""
    end = time.monotonic() + JOINING_S
    while True:
        try:
            client.submit(tasks.noop, 1, tag=tag).result(JOINING_S)
        except UnknownTagError:
            assert time.monotonic() < end, f"nobody came with tag {tag}"
            time.sleep(0.05)
        else:
            return


def others(line: Connection, processors: set[int]) -> None:
    """A process of its own: small tasks one after the other, until something is said on the line."""
    os.sched_setaffinity(0, processors)
    tasks_ms, answers_ms = [], []
    with Client(address=ADDRESS) as client:
        while not line.poll(0.005):
            started = time.perf_counter()
            assert client.submit(tasks.noop, 1, tag=OTHERS).result() == 2, "a wrong result"
            ended = time.perf_counter()
            client.submit(tasks.noop, 1, tag=OTHERS).explain()
            tasks_ms.append(1000 * (ended - started))
            answers_ms.append(1000 * (time.perf_counter() - ended))
    line.send((tasks_ms, answers_ms))


@contextlib.contextmanager
def felt_by_others(processors: set[int]) -> Iterator[tuple[list[float], list[float]]]:
    """How long the small tasks of others take while the block lasts, and answers of the scheduler, in ms."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=others, args=(theirs, processors))
    process.start()
    found: tuple[list[float], list[float]] = ([], [])
    time.sleep(STARTING_S)
    yield found
    ours.send("enough")
    for known, told in zip(found, ours.recv(), strict=True):
        known.extend(told)
    process.join()


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def _listed(processors: set[int]) -> str:
    return ",".join(map(str, sorted(processors)))


def run(peer: Base, gigabytes: float = 1.0, clusters: int = 8, apart: int = 0) -> dict[str, float]:
    """Seconds until all clusters have used the array, how often the scheduler has sent it, and what others felt."""
    if peer.PACKAGE != "scaler":
        raise Unsupported("the commands are this project's")
    array = numpy.arange(round(gigabytes * 125_000_000), dtype=float)
    names = [f"c{number}" for number in range(clusters)]
    everything = os.sched_getaffinity(0)
    theirs = {min(everything)} if apart else everything
    ours = everything - theirs if apart and len(everything) > 1 else everything
    os.sched_setaffinity(0, ours)  # of all threads that begin from now on
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(hosts(clusters + 2))
        started_there = [on("h1", folder, _listed(theirs), "scaler_scheduler", "tcp://0.0.0.0:8516")]
        for number, tag in enumerate([*names, OTHERS], 2):
            at = _listed(theirs if tag == OTHERS else ours)
            started_there.append(on(f"h{number}", folder, at, "scaler_worker", "-n", 1, "--tag", tag, ADDRESS))
        for process in started_there:
            stack.callback(process.terminate)
        client = stack.enter_context(Client(address=ADDRESS, timeout_seconds=JOINING_S))
        for tag in (*names, OTHERS):
            await_tag(client, tag)
        with felt_by_others(theirs) as before:
            time.sleep(QUIET_S)
        sent = sent_bytes("h1")
        with felt_by_others(theirs) as meanwhile:
            started = time.perf_counter()
            reference = client.send_object(array)
            sums = client.gather([client.submit(tasks.sum_slice, reference, 0, clusters, tag=tag) for tag in names])
            seconds = time.perf_counter() - started
        copies = (sent_bytes("h1") - sent) / array.nbytes
        assert sums == [array[: len(array) // clusters].sum()] * clusters, "wrong sums"
        del reference
    quiet, loud = _p99(before[0]), _p99(meanwhile[0])
    return {
        "seconds": seconds,
        "copies": copies,
        "p99_before_ms": quiet,
        "p99_ms": loud,
        "x_before": loud / quiet,
        "worst_answer_ms": max(meanwhile[1]),
        "worst_answer_before_ms": max(before[1]),
        "rounds": len(meanwhile[0]),
    }
