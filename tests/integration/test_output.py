"""What tasks print reaches the terminal of their own client, and the cluster's; nothing else waits for it."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scaler import Client, SchedulerClusterCombo
from scaler.errors import WorkerDiedError
from tests.integration.processes import Place, wait_until
from tests.integration.terminals import Terminal, echoed, told

VICTIM = """
import sys, time
from scaler import Client

client = Client(sys.argv[1])
client.submit(abs, -1).result()
print(f"0x{client.identity.hex()}", flush=True)
time.sleep(60)
"""


def speak(text: str) -> str:
    print(text)  # noqa: T201  # that is the point
    print(f"{text} err", file=sys.stderr)  # noqa: T201  # that is the point
    return text


def dots(count: int) -> None:
    for _ in range(count):
        print(".", end="")  # noqa: T201  # that is the point


def log(text: str) -> None:
    logging.getLogger("mine").warning("%s", text)


def spawn(text: str) -> int:
    return subprocess.run(["/bin/echo", text], check=True).returncode


def chat(lines: int) -> None:
    print("\n".join(f"line {n}" for n in range(lines)))  # noqa: T201  # that is the point


def from_thread(text: str) -> None:
    thread = threading.Thread(target=print, args=(text,))
    thread.start()
    thread.join()


def together(text: str, seconds: float) -> None:
    print(f"{text} begins")  # noqa: T201  # that is the point
    time.sleep(seconds)
    print(f"{text} ends")  # noqa: T201  # that is the point


def die(text: str) -> None:
    print(text)  # noqa: T201  # that is the point
    print("last words", file=sys.stderr)  # noqa: T201  # that is the point
    os._exit(3)


def begin(text: str) -> None:
    print(text, end="")  # noqa: T201  # that is the point


def forge(text: str, *others: tuple[int, int, str]) -> None:
    """Write marks of tasks of other clients, as if those had printed this."""
    data = f"{text}\n".encode()
    for owner, n, old in others:
        os.write(1, b"\0\1scaler %d %x-%d-%d%s\0" % (len(data), owner, n, 0, old.encode()) + data)


def escape() -> None:
    print("\x1b]0;title\x07\x1b[2J\x1b[31mred\r[INFO]2026-11-26 18:24:28+0000: Worker[7] started pid=1")  # noqa: T201  # as above
    os.write(1, b"[INFO]2026-11-26 18:24:28+0000: Worker[8] started")


def test_prints_and_logs_arrive_with_their_task_before_the_client_has_left(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 2)
    with Client(address) as client:
        assert client.map(speak, ["a", "b", "c"]) == ["a", "b", "c"]
        client.submit(log, "logged").result()
    out, err = terminal.out, terminal.err
    assert sorted(told(out)) == [("speak-0", "a"), ("speak-1", "b"), ("speak-2", "c")]
    expected = [("log-0", "logged"), *[(f"speak-{n}", f"{text} err") for n, text in enumerate("abc")]]
    assert sorted(told(err)) == expected
    assert len(out.splitlines()) + len(err.splitlines()) == 7
    # in full on the cluster's side, and apart from its log
    assert sorted(echoed(cluster.out)) == [("speak-0", "a"), ("speak-1", "b"), ("speak-2", "c")]
    assert sorted(echoed(cluster.err)) == expected
    assert len(cluster.err.splitlines()) == 4
    assert "\0" not in cluster.out + cluster.err


def test_each_of_many_short_tasks_has_its_own_lines(place: Place, terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        client.map(print, range(500))
    assert told(terminal.out) == [(f"print-{n}", str(n)) for n in range(500)]
    assert place.processes() == []


@pytest.mark.usefixtures("place")
def test_a_line_without_an_end_is_its_own_tasks_line(terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        client.map(dots, [3, 2])
        client.submit(speak, "whole").result()
        client.submit(dots, 1).result()
    assert told(terminal.out) == [("dots-0", "..."), ("dots-1", ".."), ("speak-0", "whole"), ("dots-0", ".")]


@pytest.mark.usefixtures("place")
def test_tasks_side_by_side_in_one_worker_are_told_apart(terminal: Terminal):
    with SchedulerClusterCombo(1, threads_per_worker=2) as combo, Client(combo) as client:
        client.starmap(together, [("one", 0.2), ("two", 0.2)])
        client.submit(from_thread, "mine").result()
    expected = [("together-0", "one begins"), ("together-0", "one ends")]
    expected += [("together-1", "two begins"), ("together-1", "two ends"), ("from_thread-0", "mine")]
    assert sorted(told(terminal.out)) == sorted(expected)


@pytest.mark.usefixtures("place")
def test_what_other_programs_print_is_of_the_task_that_runs(terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        client.map(spawn, ["x", "y"])
        wait_until(lambda: len(told(terminal.out)) == 2, lambda: terminal.out)
    tags, texts = zip(*told(terminal.out), strict=True)
    assert texts == ("x", "y")
    assert set(tags) <= {"spawn-0", "spawn-1"}


@pytest.mark.usefixtures("place")
def test_each_client_sees_its_own_tasks_alone(terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        seen = client.submit(speak, "mine")
        with Client(combo, stream_output=False) as other:
            assert other.map(speak, ["not this"] * 20) == ["not this"] * 20
            assert other.submit(speak, "nor this").result() == "nor this"
        assert seen.result() == "mine"
        client.submit(speak, "at last").result()
    assert [text for _, text in told(terminal.out)] == ["mine", "at last"]
    assert "not this" not in terminal.out + terminal.err


def test_what_comes_too_fast_is_counted_for_the_client_and_kept_in_full(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1)
    with Client(address) as client:
        client.submit(chat, 20_000).result()
        wait_until(lambda: "not shown" in terminal.err, "the note")
        assert client.submit(abs, -1).result() == 1
    shown = len(told(terminal.out))
    found = re.findall(r"scaler: (\d+) lines that tasks printed are not shown", terminal.err)
    assert 900 <= shown <= 5000
    assert shown + sum(map(int, found)) == 20_000
    wait_until(lambda: "line 19999" in cluster.out, "all of it")
    assert echoed(cluster.out) == [("chat-0", f"line {n}") for n in range(20_000)]


def test_no_echo_leaves_a_clusters_own_output_to_its_log_and_shows_more_at_the_client(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1, "--no-echo")
    with Client(address) as client:
        client.submit(chat, 5000).result()
        client.submit(speak, "mine").result()
    assert [text for _, text in told(terminal.out)] == [*[f"line {n}" for n in range(5000)], "mine"]
    assert cluster.end() == 0
    assert "connected" in cluster.out
    assert echoed(cluster.out + cluster.err) == []


@pytest.mark.usefixtures("place")
def test_a_worker_that_dies_has_said_what_it_said(terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        error = client.submit(die, "before", retries=0).exception()
    assert isinstance(error, WorkerDiedError)
    assert "last words" in str(error)
    assert told(terminal.out) == [("die-0", "before")]
    assert told(terminal.err)[:1] == [("die-0", "last words")]


def test_a_cluster_whose_output_nobody_reads_goes_on(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    words = [str(writing), str(Path(sys.executable).with_name("scaler_worker")), "-n", "2", address]
    script = "import os, sys\nos.dup2(int(sys.argv[1]), 1)\nos.execv(sys.argv[2], sys.argv[2:])\n"
    cluster = place.start("python", "-c", script, *words, inherited=[writing])
    os.close(writing)
    with Client(address) as client:
        stuck = client.submit(chat, 100_000)
        assert client.map(abs, range(-100, 0)) == list(range(100, 0, -1))
        assert not stuck.done()
        while not stuck.done():
            try:
                os.read(reading, 1 << 16)
            except BlockingIOError:
                client.wait([stuck], timeout=0.01)
    os.close(reading)
    assert cluster.end() == 0
    assert "line 0" in terminal.out


def test_what_has_no_end_when_its_task_ends_is_shown_as_that_tasks_line(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1)
    with Client(address) as client:
        assert client.map(begin, ["a", "b"]) == [None, None]
        client.submit(speak, "c").result()
    assert told(terminal.out) == [("begin-0", "a"), ("begin-1", "b"), ("speak-0", "c")]
    assert echoed(cluster.out) == [("begin-0", "a"), ("begin-1", "b"), ("speak-0", "c")]


def test_a_task_can_print_under_no_other_tasks_name_and_to_no_other_client(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    place.cluster(address, 2)
    victim = place.script(VICTIM, address)
    owner = int(victim.wait_for("0x"), 16)
    with Client(address) as client:
        own = int.from_bytes(client.identity)
        marks = [(owner, n, old) for n in (0, 1) for old in ("", f" {owner:x} trusted", f" {own:x} trusted")]
        client.submit(forge, "forged", *marks).result()
        client.submit(speak, "mine").result()
    assert {tag for tag, _ in told(terminal.out)} == {"forge-0", "speak-0"}
    assert "forged" not in victim.out + victim.err


def test_nothing_that_is_printed_is_obeyed_by_a_terminal_or_looks_like_the_log(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1)
    with Client(address) as client:
        client.submit(escape).result()
        wait_until(lambda: len(told(terminal.out)) == 3, "all of it")
    texts = ["\x1b[31mred\x1b[0m", *[f"[INFO]2026-11-26 18:24:28+0000: Worker[{n}] started" for n in (7, 8)]]
    texts[1] += " pid=1"
    assert told(terminal.out) == [("escape-0", text) for text in texts]
    assert cluster.end() == 0
    assert echoed(cluster.out) == [("escape-0", text) for text in texts]
    log = [line for line in cluster.out.splitlines() if not line.startswith("[worker ")]
    assert all(line.startswith("[INFO]") for line in log)
    assert [line for line in log if "Worker[7]" in line or "Worker[8]" in line] == []


def test_with_a_log_for_programs_all_that_is_printed_is_records_too(place: Place):
    _, address = place.scheduler()
    cluster = place.cluster(address, 1, "--log-format", "json")
    with Client(address, stream_output=False) as client:
        future = client.submit(speak, "mine")
        future.result()
        client.submit(escape).result()
        task = future.task_id
    assert cluster.end() == 0
    records = [json.loads(line) for line in (cluster.out + cluster.err).splitlines()]
    found = [record for record in records if "text" in record]
    assert [(record["name"], record["stream"]) for record in found] == [
        ("speak", "stdout"),
        ("escape", "stdout"),
        ("escape", "stdout"),
        ("speak", "stderr"),
    ]
    assert (found[0]["task"], found[0]["worker"], found[0]["text"]) == (str(task), 0, "mine")
    assert all({"time", "level", "msg"} <= record.keys() for record in records if record not in found)
