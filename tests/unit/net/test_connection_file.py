import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaler.net.connection_file import SchedulerFacts, find_scheduler, monitor_address, write_connection_file

HERE = os.getpid()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended and been reaped."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def facts(pid: int = HERE, address: str = "tcp://127.0.0.1:8516") -> SchedulerFacts:
    return SchedulerFacts(address, pid, "/srv/keys")


def test_a_scheduler_that_lives_is_found_by_its_file(environment: dict[str, str]):
    path = write_connection_file(facts(), environment)
    assert path.name == f"scheduler-{HERE}.json"
    assert find_scheduler(environment) == facts()
    path.unlink()
    assert find_scheduler(environment) is None


def test_of_several_the_one_that_was_started_last_is_found(environment: dict[str, str]):
    older = write_connection_file(facts(os.getppid(), "tcp://127.0.0.1:1"), environment)
    os.utime(older, ns=(10**18, 10**18))
    newer = write_connection_file(facts(HERE, "tcp://127.0.0.1:2"), environment)
    os.utime(newer, ns=(2 * 10**18, 2 * 10**18))
    assert find_scheduler(environment) == facts(HERE, "tcp://127.0.0.1:2")
    os.utime(older, ns=(3 * 10**18, 3 * 10**18))
    assert find_scheduler(environment) == facts(os.getppid(), "tcp://127.0.0.1:1")


def test_files_of_schedulers_that_ended_are_passed_over_and_swept(
    environment: dict[str, str], tmp_path: Path, gone: int
):
    path = write_connection_file(facts(gone), environment)
    socket = tmp_path / "scaler" / f"monitor-{gone}"
    socket.touch()
    assert find_scheduler(environment) is None
    assert path.exists()
    write_connection_file(facts(), environment)
    assert not path.exists()
    assert not socket.exists()
    assert sorted(entry.name for entry in (tmp_path / "scaler").iterdir()) == [f"scheduler-{HERE}.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        '{"address": "a"}',
        '{"address": "a", "pid": "x", "key_directory": ""}',
        "\udc80",
    ],
)
def test_files_that_make_no_sense_are_passed_over(environment: dict[str, str], tmp_path: Path, text: str):
    write_connection_file(facts(), environment)
    (tmp_path / "scaler" / "scheduler-9.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert find_scheduler(environment) == facts()


def test_another_process_that_was_given_the_same_number_is_no_scheduler(environment: dict[str, str]):
    path = write_connection_file(facts(), environment)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"begun": fields["begun"] - 1}))
    assert find_scheduler(environment) is None
    path.write_text(json.dumps(fields))
    assert find_scheduler(environment) == facts()


def test_one_that_has_ended_and_that_nobody_has_reaped_does_not_live(environment: dict[str, str]):
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    write_connection_file(facts(process.pid), environment)
    assert find_scheduler(environment) == facts(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert find_scheduler(environment) is None
    process.communicate()


def test_where_there_is_no_run_directory_nobody_is_found(tmp_path: Path):
    (tmp_path / "scaler").write_text("in the way")
    assert find_scheduler({"XDG_RUNTIME_DIR": str(tmp_path)}) is None


def test_the_file_is_written_whole_and_holds_no_secret(environment: dict[str, str]):
    path = write_connection_file(facts(), environment)
    assert json.loads(path.read_text()) == {
        "address": "tcp://127.0.0.1:8516",
        "pid": HERE,
        "key_directory": "/srv/keys",
        "is_private": False,
        "begun": json.loads(path.read_text())["begun"],
    }
    assert not path.with_suffix(".new").exists()


def test_each_scheduler_can_be_watched_at_a_place_of_its_own():
    assert monitor_address(7) == "ipc://monitor-7"


def test_a_private_scheduler_is_not_to_be_found(environment: dict[str, str]):
    private = SchedulerFacts("ipc:///own", HERE, "", is_private=True)
    write_connection_file(private, environment)
    assert find_scheduler(environment) is None
    write_connection_file(facts(os.getppid()), environment)
    assert find_scheduler(environment) == facts(os.getppid())


def test_the_socket_of_a_private_scheduler_that_is_gone_is_removed_and_no_other(
    environment: dict[str, str], tmp_path: Path, gone: int
):
    names = ("own-1-1", "shared", "elsewhere")
    for name in names:
        folder = tmp_path if name == "elsewhere" else tmp_path / "scaler"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / name).touch()
        address = f"ipc://{folder / name}"
        write_connection_file(SchedulerFacts(address, gone, "", is_private=name != "shared"), environment)
    write_connection_file(facts(), environment)
    assert [name for name in names if (tmp_path / "scaler" / name).exists() or (tmp_path / name).exists()] == [
        "shared",
        "elsewhere",
    ]
