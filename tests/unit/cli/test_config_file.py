from pathlib import Path

import pytest

from scaler.cli import settings
from scaler.cli.config_file import ConfigFile, read_config_file
from scaler.cli.resolve import Resolved, resolve
from scaler.errors import ConfigurationError


def written(folder: Path, text: str) -> Path:
    path = folder / "scaler.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def resolved(section: str, content: object) -> Resolved:
    return resolve(section, {}, {}, ConfigFile("scaler.yaml", content))


def refusal(content: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        ConfigFile("scaler.yaml", content)
    return str(caught.value)


def test_every_kind_of_setting_can_be_written_as_yaml_has_it(tmp_path: Path):
    path = written(
        tmp_path,
        """
        key_file: ~/keys
        scheduler: {protected: false, client-timeout: 2.5}
        worker:
            workers: 3
            tags: [gpu, 2]
            resources: {gpu: 2}
            end_time: 2026-09-21 14:13:20+00:00
            name: here
        """,
    )
    file = read_config_file(path)
    scheduler, worker = (resolve(section, {}, {}, file) for section in ("scheduler", "worker"))
    assert scheduler[settings.KEY_FILE] == worker[settings.KEY_FILE] == Path("~/keys").expanduser()
    assert (scheduler[settings.PROTECTED], scheduler[settings.CLIENT_TIMEOUT]) == (False, 2.5)
    assert (worker[settings.WORKERS], worker[settings.TAGS]) == (3, ("gpu", "2"))
    assert (worker[settings.RESOURCES], worker[settings.NAME]) == ((("gpu", 2.0),), "here")
    assert worker[settings.END_TIME] == 1_790_000_000


def test_a_section_wins_over_what_stands_outside():
    content = {"log_format": "kv", "worker": {"log_format": "json"}}
    assert resolved("worker", content)[settings.LOG_FORMAT] == "json"
    assert resolved("scheduler", content)[settings.LOG_FORMAT] == "kv"


def test_an_empty_file_and_an_empty_section_say_nothing(tmp_path: Path):
    assert resolve("worker", {}, {}, read_config_file(written(tmp_path, "")))[settings.THREADS] == 1
    assert resolved("worker", {"worker": None})[settings.THREADS] == 1
    assert resolved("worker", {"worker": {"threads": None}})[settings.THREADS] == 1


def test_an_unknown_key_is_told_with_what_may_have_been_meant():
    assert refusal({"worker": {"thread": 2}}) == "scaler.yaml: worker.thread: unknown key; did you mean threads?"
    assert refusal({"schedular": {}}) == "scaler.yaml: schedular: unknown key; did you mean scheduler?"


def test_a_key_of_a_section_is_not_taken_from_outside():
    assert refusal({"threads": 2}) == "scaler.yaml: threads: unknown key; it belongs into worker"
    assert refusal({"address": "x:1"}) == "scaler.yaml: address: unknown key; it belongs into scheduler or worker"


def test_a_key_that_resembles_none_is_told_with_all_there_are():
    assert "known are address, death_timeout," in refusal({"worker": {"zzz": 2}})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"worker": {"threads": "2"}}, "worker.threads: expected a whole number from 1 to 1024, not '2'"),
        ({"worker": {"threads": True}}, "worker.threads: expected a whole number from 1 to 1024, not True"),
        ({"worker": {"threads": [2]}}, "worker.threads: expected a whole number from 1 to 1024, not [2]"),
        ({"worker": {"name": 5}}, "worker.name: expected text, not 5"),
        ({"worker": {"tags": [["a"]]}}, "worker.tags: expected names, divided by commas, not [['a']]"),
        ({"scheduler": {"protected": "no"}}, "scheduler.protected: expected true or false, not 'no'"),
        ({"worker": 3}, "worker must hold 'key: value' lines, not 3"),
        ([1], "the file must hold 'key: value' lines, not [1]"),
        ({"log_format": "kv", "log-format": "kv"}, "the file holds log_format twice"),
    ],
)
def test_a_wrong_type_is_told_with_key_file_and_what_was_expected(content: object, expected: str):
    assert refusal(content) == f"scaler.yaml: {expected}"


def test_a_value_out_of_range_is_told_where_it_stands():
    with pytest.raises(
        ConfigurationError, match=r"scaler.yaml: worker.threads: expected a whole number from 1 to 1024, not '0'"
    ):
        resolved("worker", {"worker": {"threads": 0}})


def test_a_file_that_is_not_there_or_no_yaml_is_one_line(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"absent.yaml cannot be read: No such file or directory"):
        read_config_file(tmp_path / "absent.yaml")
    with pytest.raises(ConfigurationError, match=r"scaler.yaml is no YAML: .*line 2, column 1") as caught:
        read_config_file(written(tmp_path, "a: [\n"))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"scaler.yaml is no YAML: month must be in 1..12"):
        read_config_file(written(tmp_path, "worker: {end_time: 2026-13-01}\n"))
    with pytest.raises(ConfigurationError, match=r"scaler.yaml is no YAML: Exceeds the limit"):
        read_config_file(written(tmp_path, f"worker: {{threads: {'9' * 5000}}}\n"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"bytes.yaml cannot be read: it is not UTF-8"):
        read_config_file(tmp_path / "bytes.yaml")
