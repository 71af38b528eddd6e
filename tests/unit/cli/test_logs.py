import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaler.cli.logs import DescriptorHandler, JsonFormatter, KvFormatter, LogConfig, TextFormatter, start_logging
from scaler.errors import ConfigurationError

MOMENT = 1_795_364_170.25


@pytest.fixture(autouse=True)
def eastern_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XST4")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def own_root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.handlers, root.level
    yield root
    root.handlers, level = before
    root.setLevel(level)


def record(text: str = "a worker joined", *fields: tuple[str, object]) -> logging.LogRecord:
    made = logging.LogRecord("scaler", logging.INFO, "", 0, text, (), None)
    made.created, made.msecs = MOMENT, 250.0
    if fields:
        made.fields = fields
    return made


def failed() -> logging.LogRecord:
    try:
        raise ValueError("no")
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
    return made


def test_the_usual_line_is_what_users_of_scaler_know():
    assert TextFormatter().format(record()) == "[INFO]2026-11-22 12:16:10-0400: a worker joined"


def test_fields_follow_the_text():
    line = TextFormatter().format(record("a worker joined", ("cluster", "c1"), ("slots", 4)))
    assert line == "[INFO]2026-11-22 12:16:10-0400: a worker joined cluster=c1 slots=4"


def test_kv_is_one_line_of_pairs():
    line = KvFormatter().format(record('say "hello"', ("reason", "no = word\n"), ("empty", "")))
    assert line == (
        r'time=2026-11-22T12:16:10.250-04:00 level=info msg="say \"hello\"" reason="no = word\n" empty=""'
    )  # fmt: skip


def test_json_is_one_object_a_line():
    assert json.loads(JsonFormatter().format(record("hello", ("slots", 4), ("reason", 'a "b"')))) == {
        "time": "2026-11-22T12:16:10.250-04:00",
        "level": "info",
        "msg": "hello",
        "slots": 4,
        "reason": 'a "b"',
    }


def test_what_peers_are_called_cannot_draw_on_the_terminal():
    assert "\x1b" not in TextFormatter().format(record("joined", ("name", "\x1b[2J")))


@pytest.mark.parametrize("formatter", [TextFormatter(), KvFormatter()])
@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\u202e", "\u2066", "\u2028", "\u200f"])
def test_what_moves_the_cursor_or_turns_a_line_around_is_an_escape(formatter: logging.Formatter, sign: str):
    line = formatter.format(record("joined", ("name", f"gnp. {sign}exe"), ("reason", "zu früh")))
    assert line.endswith(f' name="gnp. \\u{ord(sign):04x}exe" reason="zu früh"')


def test_a_traceback_is_kept_by_every_format():
    assert TextFormatter().format(failed()).endswith("ValueError: no")
    assert KvFormatter().format(failed()).endswith(r'ValueError: no"')
    assert json.loads(JsonFormatter().format(failed()))["trace"].endswith("ValueError: no")


def test_the_first_line_says_where_the_log_goes(tmp_path: Path):
    paths = (str(tmp_path / "a"), str(tmp_path / "b"))
    start_logging(LogConfig(paths=paths))
    for path in paths:
        assert re.fullmatch(r"\[INFO\][-0-9]+ [:0-9]+-0400: logging to \('.*/a', '.*/b'\)\n", Path(path).read_text())


def test_standard_output_is_the_usual_place(capfd: pytest.CaptureFixture[str]):
    start_logging(LogConfig())
    assert capfd.readouterr().out.endswith(": logging to ('/dev/stdout',)\n")


def test_standard_error_may_be_named(capfd: pytest.CaptureFixture[str]):
    start_logging(LogConfig(paths=("/dev/stderr",), format="kv"))
    assert "logging to ('/dev/stderr',)" in capfd.readouterr().err


def test_a_file_is_appended_to(tmp_path: Path):
    path = tmp_path / "log"
    path.write_text("before\n")
    start_logging(LogConfig(paths=(str(path),)))
    assert path.read_text().startswith("before\n[INFO]")


def test_what_is_below_the_level_is_not_logged(tmp_path: Path):
    path = tmp_path / "log"
    start_logging(LogConfig(level="WARNING", paths=(str(path),)))
    logging.getLogger("scaler.worker").info("not this")
    logging.getLogger("scaler.worker").warning("but this")
    assert [line.partition(": ")[2] for line in path.read_text().splitlines()] == ["but this"]


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"cannot log to .*/absent/log: No such file or directory"):
        start_logging(LogConfig(paths=(str(tmp_path / "absent/log"),)))


def test_a_log_whose_reader_has_gone_stops_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        DescriptorHandler(writing, "pipe").handle(record())
    finally:
        os.close(writing)


def test_a_full_disk_is_told_once_and_stops_nothing(capfd: pytest.CaptureFixture[str]):
    with Path("/dev/full").open("wb", buffering=0) as full:
        handler = DescriptorHandler(full.fileno(), "/dev/full")
        handler.handle(record())
        handler.handle(record())
    told = "scaler: the log /dev/full cannot be written, and lines are lost until it can: No space left on device\n"
    assert capfd.readouterr() == ("", told)


def test_a_log_that_can_be_written_again_is_told_of_when_it_fails_anew(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with Path("/dev/full").open("wb", buffering=0) as full, (tmp_path / "log").open("wb", buffering=0) as file:
        handler = DescriptorHandler(os.dup(full.fileno()), "log")
        for current in (full, file, full):
            os.dup2(current.fileno(), handler.descriptor)
            handler.handle(record())
        os.close(handler.descriptor)
    assert len(capfd.readouterr().err.splitlines()) == 2
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_log_whose_descriptor_is_closed_stops_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    DescriptorHandler(writing, "pipe").handle(record())


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(tmp_path: Path):
    with (tmp_path / "log").open("wb") as file:
        DescriptorHandler(file.fileno(), "log").handle(record("x" * 200_000))
    assert (tmp_path / "log").stat().st_size == 200_001


INI = """
[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=plain
[logger_root]
level=WARNING
handlers=file
[handler_file]
class=FileHandler
formatter=plain
args=({path!r},)
[formatter_plain]
format=%(levelname)s %(message)s
"""


def by_file(folder: Path, **others: str) -> list[str]:
    """What a file for `logging.config` makes of a warning and a fact, with other options beside it."""
    path = folder / "logging.ini"
    path.write_text(INI.format(path=str(folder / "log")))
    start_logging(LogConfig(config_file=path, **others))  # type: ignore[arg-type]  # the test's own words
    logging.getLogger("scaler.worker").info("a fact")
    logging.getLogger("scaler.worker").warning("a warning")
    for handler in logging.getLogger().handlers:
        handler.close()
    return (folder / "log").read_text().splitlines()


def test_a_file_for_pythons_logging_decides_alone(tmp_path: Path):
    assert by_file(tmp_path) == ["WARNING a warning"]


def test_a_level_beside_such_a_file_holds(tmp_path: Path):
    assert by_file(tmp_path, level="INFO")[1:] == ["INFO a fact", "WARNING a warning"]


def test_a_format_beside_such_a_file_holds(tmp_path: Path):
    assert json.loads(by_file(tmp_path, format="json")[0])["msg"] == "a warning"


def test_paths_beside_such_a_file_are_logged_to_as_well(tmp_path: Path):
    path = tmp_path / "more"
    by_file(tmp_path, paths=(str(path),))  # type: ignore[arg-type]  # paths are a tuple
    assert path.read_text().endswith(": a warning\n")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_such_a_file_may_be_json_or_yaml(tmp_path: Path, suffix: str):
    log = tmp_path / "log"
    handler = {"class": "logging.FileHandler", "filename": str(log)}
    content = {"version": 1, "handlers": {"file": handler}, "root": {"level": "INFO", "handlers": ["file"]}}
    path = tmp_path / f"logging.{suffix}"
    path.write_text(json.dumps(content))
    start_logging(LogConfig(config_file=path))
    logging.getLogger().handlers[0].close()
    assert log.read_text() == f"logging to ('{path}',)\n"


@pytest.mark.parametrize("text", ["", "[loggers]\n", "nonsense"])
def test_such_a_file_that_makes_no_sense_is_told(tmp_path: Path, text: str):
    path = tmp_path / "logging.ini"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"logging.ini cannot be used: \S"):
        start_logging(LogConfig(config_file=path))


def test_such_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"absent.ini is no file"):
        start_logging(LogConfig(config_file=tmp_path / "absent.ini"))
