import re

import pytest

from scaler.cli import settings
from scaler.cli.config_file import ConfigFile
from scaler.cli.resolve import Found, Resolved, Typed, resolve, unknown_variables
from scaler.errors import ConfigurationError
from tests.house.source import ROOT

FILE = ConfigFile("scaler.yaml", {"logging_level": "ERROR", "worker": {"threads": 5, "tags": ["gpu", "big"]}})


def worker(typed: Typed | None = None, environment: dict[str, str] | None = None) -> Resolved:
    return resolve("worker", typed or {}, environment or {}, FILE)


def test_the_command_line_wins_over_everything():
    found = worker({"threads": ["2"]}, {"SCALER_THREADS": "3"})
    assert found.found["threads"] == Found(2, "command line", "--threads")


def test_the_environment_wins_over_the_file():
    assert worker({}, {"SCALER_THREADS": "3"}).found["threads"] == Found(3, "environment", "SCALER_THREADS")


def test_the_file_wins_over_the_default():
    assert worker().found["threads"] == Found(5, "file", "scaler.yaml: worker.threads")


def test_what_nobody_sets_has_its_default():
    found = resolve("worker", {}, {})
    assert found.found["threads"] == Found(1, "default")
    assert found.given(settings.THREADS) is None


def test_what_stands_outside_of_the_sections_of_a_file_holds_for_all():
    assert worker().found["logging_level"] == Found("ERROR", "file", "scaler.yaml: logging_level")


def test_an_empty_variable_is_none():
    assert resolve("worker", {}, {"SCALER_THREADS": ""})[settings.THREADS] == 1


def test_a_flag_may_be_switched_off_above_where_it_is_on():
    found = resolve("scheduler", {"protected": False}, {"SCALER_PROTECTED": "yes"})
    assert found[settings.PROTECTED] is False


def test_lists_are_repeated_or_divided_by_commas():
    assert worker({"tags": ["a", "b, c"]})[settings.TAGS] == ("a", "b", "c")
    assert worker({}, {"SCALER_TAGS": "a,b"})[settings.TAGS] == ("a", "b")
    assert worker()[settings.TAGS] == ("gpu", "big")


def test_paths_of_modules_are_divided_as_python_does():
    assert worker({"python_path": ["a:b", "c"]})[settings.PYTHON_PATH] == ("a", "b", "c")


def test_resources_are_named_amounts():
    assert worker({"resources": ["gpu=2", "disk=0.5"]})[settings.RESOURCES] == (("disk", 0.5), ("gpu", 2.0))


def test_the_end_of_an_allocation_is_read_from_the_batch_system():
    found = resolve("worker", {}, {"SLURM_JOB_END_TIME": "1790000000"})
    assert found.found["end_time"] == Found(1_790_000_000.0, "environment", "SLURM_JOB_END_TIME")


def test_a_moment_may_be_written_as_people_do():
    assert worker({"end_time": ["2026-09-21T14:13:20+00:00"]})[settings.END_TIME] == 1_790_000_000


@pytest.mark.parametrize("section", settings.SECTIONS)
@pytest.mark.parametrize("flag", ["insecure", "insecure_off_loopback"])
def test_what_gives_up_safety_is_taken_from_the_command_line_alone(section: str, flag: str):
    with pytest.raises(ConfigurationError, match=f"SCALER_{flag.upper()}: type --insecure.* on the command line"):
        resolve(section, {}, {f"SCALER_{flag.upper()}": "1"})
    with pytest.raises(ConfigurationError, match=f"f: {flag}: type"):
        resolve(section, {}, {}, ConfigFile("f", {flag: True}))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("workers", "0", "-n: expected a whole number from 1 to 10000, not '0'"),
        ("workers", "many", "-n: expected a whole number from 1 to 10000, not 'many'"),
        ("workers", "10001", "-n: expected a whole number from 1 to 10000, not '10001'"),
        ("threads", str(10**12), "--threads: expected a whole number from 1 to 1024, not '1000000000000'"),
        ("threads", "1e12", "--threads: expected a whole number from 1 to 1024, not '1e12'"),
        ("threads", "9" * 5000, f"--threads: expected a whole number from 1 to 1024, not '{'9' * 199}"),
        ("death_timeout", "0", "--death-timeout: expected a number of seconds above 0, up to ten years, not '0'"),
        ("death_timeout", "nan", "--death-timeout: expected a number of seconds above 0, up to ten years, not 'nan'"),
        ("death_timeout", "1e12", "--death-timeout: expected a number of seconds above 0, up to ten years, not '1e12'"),
        ("grace", "-1", "--grace: expected a number of seconds from 0, up to ten years, not '-1'"),
        ("grace", "1e300", "--grace: expected a number of seconds from 0, up to ten years, not '1e300'"),
        ("resources", "gpu", "--resources: expected quantities above 0, up to 1e+12, such as gpu=2, not 'gpu'"),
        ("resources", "a=1e13", "--resources: expected quantities above 0, up to 1e+12, such as gpu=2, not 'a=1e13'"),
        ("log_format", "xml", "--log-format: expected one of text, kv, json, not 'xml'"),
        (
            "end_time",
            "soon",
            "--end-time: expected a moment, as seconds since 1970 or like 2026-11-22T12:00, not 'soon'",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place_and_what_was_expected(name: str, text: str, expected: str):
    with pytest.raises(ConfigurationError) as caught:
        worker({name: [text]})
    assert str(caught.value) == expected


def test_a_variable_that_nobody_reads_is_told_with_what_may_have_been_meant():
    read = {"SCALER_THREADS": "2", "SCALER_CLIENT_TIMEOUT": "3", "SCALER_CONFIG": "f", "SLURM_JOB_END_TIME": "4"}
    assert unknown_variables(read | {"_SCALER_COMPLETE": "x", "PATH": "/bin", "SCALER_INSECURE": "1"}) == []
    assert unknown_variables({"SCALER_THRAEDS": "2", "SCALER_": "", "SCALER_XYZZY": "3"}) == [
        "the variable SCALER_ means nothing; see --help for those that do",
        "the variable SCALER_THRAEDS means nothing; did you mean SCALER_THREADS?",
        "the variable SCALER_XYZZY means nothing; see --help for those that do",
    ]


def test_variables_that_kubernetes_sets_for_a_service_called_scaler_are_no_mistakes():
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8516_TCP", "PORT_8516_TCP_ADDR"]
    names += [f"SCHEDULER_{name}" for name in names]
    assert unknown_variables({f"SCALER_{name}": "tcp://10.0.0.1:8516" for name in names}) == []


def test_every_variable_of_ours_is_known():
    files = (ROOT / "scaler").rglob("*.py")
    found = {name for path in files for name in re.findall(r"(?<!\w)SCALER_[A-Z_]+\b", path.read_text("utf-8"))}
    assert "SCALER_KEY_FILE" in found
    assert unknown_variables(dict.fromkeys(found, "1")) == []


def test_a_wrong_variable_is_named():
    with pytest.raises(
        ConfigurationError, match=r"^SCALER_THREADS: expected a whole number from 1 to 1024, not '1.5'$"
    ):
        worker({}, {"SCALER_THREADS": "1.5"})
