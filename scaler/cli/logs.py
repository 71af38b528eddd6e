"""The log of a process: where it goes and how a line of it looks. A log that nobody can take stops nothing.

A fact may come with fields, as `extra={"fields": ((name, value), …)}`; every format shows them behind the text.
"""

import contextlib
import errno
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import ConfigurationError
from scaler.lines import moment, quoted, word

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
#: our loggers exist already when such a file is read
_KEEP_LOGGERS = {"disable_existing_loggers": False}

log = logging.getLogger("scaler")


@dataclass(frozen=True)
class LogConfig:
    """What was asked for; None where nothing was, which makes a difference only beside a `config_file`."""

    level: str | None = None
    paths: tuple[str, ...] | None = None
    format: str | None = None
    config_file: Path | None = None


def start_logging(config: LogConfig) -> None:
    """Set up the root logger and say where it logs to; `ConfigurationError` if it cannot."""
    root = logging.getLogger()
    formatter = FORMATTERS[config.format or "text"]()
    if config.config_file is None:
        paths = config.paths or ("/dev/stdout",)
        root.handlers = _handlers(paths, formatter)
        root.setLevel(config.level or "INFO")
        log.info("logging to %s", paths)
        return
    _configure_by_file(config.config_file)
    if config.format is not None:
        for handler in root.handlers:
            handler.setFormatter(formatter)
    if config.level is not None:
        root.setLevel(config.level)
    for handler in _handlers(config.paths or (), formatter):
        root.addHandler(handler)
    log.info("logging to %s", (str(config.config_file), *(config.paths or ())))


class DescriptorHandler(logging.Handler):
    """Writes each line at once and whole; what cannot be written is dropped.

    That is told once on stderr, until a line can be written again; but not of a reader that has gone, who knows.
    """

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__()
        self.descriptor = descriptor
        self._path = path
        self._is_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001  # whatever the arguments of a line raise, as every handler does
            self.handleError(record)
            return
        try:
            while line:
                line = line[os.write(self.descriptor, line) :]
        except OSError as error:
            self._tell_once(error)
        else:
            self._is_failing = False

    def _tell_once(self, error: OSError) -> None:
        if error.errno == errno.EPIPE or self._is_failing:
            return
        self._is_failing = True
        text = f"scaler: the log {self._path} cannot be written, and lines are lost until it can: {error.strerror}\n"
        with contextlib.suppress(OSError):
            os.write(STANDARD["/dev/stderr"], text.encode(errors="backslashreplace"))


class TextFormatter(logging.Formatter):
    """`[INFO]2026-11-22 12:16:10-0400: text name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(record.created))
        lines = [f"[{record.levelname}]{when}: {record.getMessage()}{_pairs(record)}"]
        if trace := _trace(record):
            lines.append(trace)
        return "\n".join(lines)


class KvFormatter(logging.Formatter):
    """`time=… level=… msg="…" name=value`, always one line."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"time={moment(record.created)} level={record.levelname.lower()} msg={quoted(record.getMessage())}"
        trace = _trace(record)
        return f"{head}{_pairs(record)}{f' trace={quoted(trace)}' if trace else ''}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields among its members."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, object] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        for name, value in _fields(record):
            members.setdefault(name, value)
        if trace := _trace(record):
            members["trace"] = trace
        return json.dumps(members, ensure_ascii=False, default=str)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "kv": KvFormatter, "json": JsonFormatter}


def _fields(record: logging.LogRecord) -> tuple[tuple[str, object], ...]:
    fields: tuple[tuple[str, object], ...] = getattr(record, "fields", ())
    return fields


def _pairs(record: logging.LogRecord) -> str:
    return "".join(f" {name}={word(value)}" for name, value in _fields(record))


def _trace(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def _handlers(paths: tuple[str, ...], formatter: logging.Formatter) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    for path in paths:
        handler = DescriptorHandler(_descriptor(path), path)
        handler.setFormatter(formatter)
        handlers.append(handler)
    return handlers


def _descriptor(path: str) -> int:
    """A standard stream as it is, since opening it anew would not append; anything else as a file to append to."""
    if path in STANDARD:
        return STANDARD[path]
    try:
        return os.open(Path(path).expanduser(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ConfigurationError(f"cannot log to {path}: {error.strerror}; choose another by --logging-paths") from None


def _configure_by_file(path: Path) -> None:
    from logging import config  # noqa: PLC0415  # costs as much as all the rest, and few have such a file

    if not path.is_file():
        raise ConfigurationError(f"the logging configuration {path} is no file")
    try:
        if path.suffix == ".json":
            config.dictConfig(_KEEP_LOGGERS | json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix in {".yaml", ".yml"}:
            import yaml  # noqa: PLC0415  # as above

            config.dictConfig(_KEEP_LOGGERS | yaml.safe_load(path.read_text(encoding="utf-8")))
        else:
            config.fileConfig(path, disable_existing_loggers=False)
    except Exception as error:  # noqa: BLE001  # the file names classes, whose constructors raise whatever they like
        text = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(f"the logging configuration {path} cannot be used: {text}") from None
