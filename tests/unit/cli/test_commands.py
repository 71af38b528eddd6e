import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import scaler
from scaler import errors
from scaler.cli import options, settings
from scaler.cli.commands import COMMANDS, invoke
from scaler.cli.endings import ExitCode, exit_code
from scaler.cluster import children

Captured = pytest.CaptureFixture[str]


def told(capsys: Captured) -> str:
    """The one line on stderr; nothing was printed."""
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.rstrip("\n")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command: str, capsys: Captured):
    assert invoke("program", command, ["--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: program")


def test_the_group_lists_its_commands_and_how_to_complete_them(capsys: Captured):
    invoke("scaler", "", ["--help"])
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []
    assert 'eval "$(_SCALER_COMPLETE=bash_source scaler)"' in out


@pytest.mark.parametrize("command", ["", "scheduler", "worker"])
def test_the_version_can_be_asked_for(command: str, capsys: Captured):
    assert invoke("scaler", command, ["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"scaler {scaler.__version__}, Python 3.")


@pytest.mark.parametrize("section", settings.SECTIONS)
def test_the_help_of_a_command_names_every_option_and_variable(section: str, capsys: Captured):
    invoke("scaler", "", [section, "--help"])
    words = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    table = settings.SECTIONS[section]
    wanted = {word for one in table if not one.is_argument for word in one.options}
    wanted |= {word for one in table if not one.is_argument and not one.must_be_typed for word in one.variables}
    assert wanted - words == set()


def test_no_command_without_a_word_shows_what_there_is(capsys: Captured):
    assert invoke("scaler", "", []) == ExitCode.BAD_INPUT
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wroker"], r"scaler: No such command 'wroker'.*; see 'scaler --help'"),
        (
            ["worker", "--theads", "2"],
            r"scaler worker: No such option.*--theads.*--threads.*; see 'scaler worker --help'",
        ),
        (["worker", "a:1", "b:2"], r"scaler worker: Got unexpected extra argument.*; see 'scaler worker --help'"),
        (["worker", "-n", "none", "a:1"], "scaler: -n: expected a whole number from 1 to 10000, not 'none'"),
        (["worker", "-n0", "a:1"], "scaler: -n: expected a whole number from 1 to 10000, not '0'"),
        (["worker", "--key-file", "", "a:1"], "scaler: --key-file: expected a path, not ''"),
        (["scheduler", "--key-file="], "scaler: --key-file: expected a path, not ''"),
        (["keygen", ""], "scaler: DIRECTORY: expected a path, not ''"),
        (["scheduler", "x://y"], "scaler: ADDRESS: 'x://y' is no address: .*"),
        (["scheduler", "--config", "absent.yaml"], "scaler: the settings file absent.yaml cannot be read: .*"),
        (["scheduler", "--parent-fd", "1000000"], "scaler: --parent-fd: 1000000 is no open descriptor"),
        (["worker", "--parent-fd", "9" * 30], f"scaler: --parent-fd: {'9' * 30} is no open descriptor"),
        (["worker", "--parent-fd", "-1"], "scaler: --parent-fd: -1 is no open descriptor"),
        (["worker", "--parent-fd", "x"], "scaler worker: Invalid value for '--parent-fd': .*; see '.*"),
        (["worker", "--parent-fd"], "scaler: Option '--parent-fd' requires an argument; see '.*"),
        (["keygen"], "scaler keygen: Missing argument 'DIRECTORY'; see 'scaler keygen --help'"),
        (["config", "show", "client"], "scaler config show: Invalid value for .*'client' is not one of .*"),
    ],
)
def test_bad_input_is_one_line_that_says_what_where_and_what_to_do(words: list[str], expected: str, capsys: Captured):
    assert invoke("scaler", "", words) == ExitCode.BAD_INPUT
    assert re.fullmatch(expected, told(capsys))


def test_every_error_of_ours_has_an_exit_code():
    assert exit_code(errors.AddressError("")) == exit_code(errors.KeyFileError("")) == ExitCode.BAD_INPUT
    assert exit_code(errors.AuthenticationError("")) == ExitCode.NOT_AUTHORIZED
    assert exit_code(errors.VersionMismatchError("")) == ExitCode.OTHER_VERSION
    assert exit_code(errors.SupersededError("")) == ExitCode.SUPERSEDED
    assert exit_code(errors.SchedulerError("")) == ExitCode.LOST


def test_a_combo_knows_the_exit_code_of_bad_input():
    assert children.BAD_INPUT == ExitCode.BAD_INPUT


def test_exit_codes_are_numbered_once_and_explained():
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 6, 130, 143]
    assert [code for code in ExitCode if not code.description.endswith(".")] == []


# ---- what means nothing here


def values(section: str, *words: str) -> dict[str, object]:
    command = COMMANDS[section]()
    return command.make_context(section, list(words)).params


def test_options_of_scaler_that_mean_nothing_here_are_accepted_with_their_reason():
    words = ("--object-retention-seconds", "60", "-qs", "10", "--load-balance-seconds", "1", "h:1")
    assert options.warnings("scheduler", values("scheduler", *words)) == [
        "--object-retention-seconds means nothing here: references decide how long objects live",
        "--load-balance-seconds means nothing here: work is balanced all the time",
        "--per-worker-queue-size means nothing here: how far work is given ahead is measured in time, not in tasks",
    ]


def test_nothing_is_said_of_a_value_that_is_what_happens_anyway():
    assert options.warnings("worker", values("worker", "-e", "builtin")) == []
    assert len(options.warnings("worker", values("worker", "-e", "uvloop"))) == 1


def test_no_spelling_means_two_things():
    for section, table in settings.SECTIONS.items():
        spelled = [word for one in table if not one.is_argument for word in one.options]
        spelled += [word for one in settings.DISCARDED[section] for word in one.spellings]
        assert sorted(spelled) == sorted(set(spelled))


SCALER = {
    "scheduler": """--monitor-address -ma --scheduler-io-threads --protected -p --max-number-of-tasks-waiting -mt
        --client-timeout-seconds -ct --worker-timeout-seconds -wt --object-retention-seconds -ot --event-loop -e
        --load-balance-seconds --load-balance-trigger-times --logging-paths --logging-level --logging-config-file
        --per-worker-queue-size -qs""",
    "worker": """--num-of-workers -n --worker-names -wn --heartbeat-interval -hi --task-timeout-seconds
        --garbage-collect-interval-seconds -gc --death-timeout-seconds -ds --trim-memory-threshold-bytes -tm
        --event-loop --io-threads -it --logging-paths --logging-level --logging-config-file""",
}


@pytest.mark.parametrize("section", SCALER)
def test_every_name_that_users_of_scaler_bring_along_is_accepted(section: str):
    known = {word for parameter in options.parameters(section) for word in parameter.opts}
    assert set(SCALER[section].split()) - known == set()


def test_several_ways_to_write_an_option_mean_the_same():
    for word in ("--client-timeout", "--client-timeout-seconds", "-ct"):
        assert options.typed_settings(settings.SCHEDULER, values("scheduler", word, "5")) == {"client_timeout": ("5",)}
    for words in (["-n", "4"], ["-n4"], ["--workers=4"], ["--num-of-workers", "4"]):
        assert options.typed_settings(settings.WORKER, values("worker", *words)) == {"workers": ("4",)}


def test_a_flag_has_two_sides():
    for word, side in (("-p", True), ("--protected", True), ("--no-protected", False)):
        assert options.typed_settings(settings.SCHEDULER, values("scheduler", word)) == {"protected": side}


# ---- keygen


def test_keygen_makes_a_directory_of_keys_and_says_what_to_do_with_them(tmp_path: Path, capsys: Captured):
    place = tmp_path / "keys"
    assert invoke("scaler", "", ["keygen", str(place)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"made keys: {place}\n")
    assert f"--key-file {place}\n" in out
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    secret = re.findall(r"^secret: (.*)$", (place / "server.key").read_text(), re.MULTILINE)[0]
    assert secret not in out


def test_keygen_leaves_keys_that_are_there_alone(tmp_path: Path, capsys: Captured):
    place = tmp_path / "keys"
    invoke("scaler", "", ["keygen", str(place)])
    before = (place / "server.key").read_text()
    capsys.readouterr()
    assert invoke("scaler", "", ["keygen", str(place)]) == 0
    assert capsys.readouterr().out.startswith(f"these keys were there already, nothing was changed: {place}\n")
    assert (place / "server.key").read_text() == before


def test_keygen_fills_a_folder_that_is_empty(tmp_path: Path):
    place = tmp_path / "keys"
    place.mkdir()
    assert invoke("scaler", "", ["keygen", str(place)]) == 0
    assert (place / "server.key").exists()


def test_keygen_refuses_a_place_where_something_else_is(tmp_path: Path, capsys: Captured):
    (tmp_path / "letter").write_text("dear")
    tmp_path.chmod(0o700)
    assert invoke("scaler", "", ["keygen", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert "there is no key file" in told(capsys)


# ---- config show


def test_config_show_prints_every_setting_with_its_origin(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "scaler.yaml"
    path.write_text("worker: {threads: 2}\n")
    monkeypatch.setenv("SCALER_GRACE", "1.5")
    assert invoke("scaler", "", ["config", "show", "--config", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(len(table) + 1 for table in settings.SECTIONS.values())
    rows = {tuple(re.split(r"  +", line.strip())) for line in lines}
    assert ("threads", "2", f"file: {path}: worker.threads") in rows
    assert ("grace", "1.5", "environment: SCALER_GRACE") in rows
    assert ("address", "tcp://127.0.0.1:8516, or the next free port", "default") in rows


def test_config_show_speaks_json_to_programs(capsys: Captured, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALER_RESOURCES", "gpu=2")
    monkeypatch.setenv("SCALER_KEY_FILE", "/keys")
    assert invoke("scaler", "", ["config", "show", "worker", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["worker"]) == [setting.name for setting in settings.WORKER]
    assert shown["worker"]["resources"] == {
        "value": {"gpu": 2.0},
        "origin": "environment",
        "where": "SCALER_RESOURCES",
    }
    assert shown["worker"]["key_file"]["value"] == "/keys"
    assert shown["worker"]["tags"] == {"value": [], "origin": "default", "where": ""}


def test_config_show_finds_the_file_by_its_variable(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "scaler.yaml"
    path.write_text("worker: {treads: 2}\n")
    monkeypatch.setenv("SCALER_CONFIG", str(path))
    assert invoke("scaler", "", ["config", "show"]) == ExitCode.BAD_INPUT
    assert told(capsys) == f"scaler: {path}: worker.treads: unknown key; did you mean threads?"


@pytest.mark.parametrize("command", ["scheduler", "worker", "config show"])
def test_a_misspelt_variable_is_told_once_before_anything_else(
    command: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALER_GRACES", "1.5")
    words = [*command.split(), *([] if command == "config show" else ["udp://h:1"])]
    invoke("scaler", "", words)
    program = "scaler" if command == "config show" else f"scaler_{command}"
    told = f"{program}: warning: the variable SCALER_GRACES means nothing; did you mean SCALER_GRACE?"
    assert capsys.readouterr().err.splitlines()[0] == told


# ---- what is imported

HEAVY = {"asyncio", "cloudpickle", "msgspec", "psutil", "yaml", "zmq"}


def test_reading_a_command_line_loads_nothing_that_it_does_not_need():
    code = "import sys; from scaler.cli import commands, records, logs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} & HEAVY == set()
