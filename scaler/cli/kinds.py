"""What a setting can hold: how it is read from text, what a file may hold for it, and how it is described. Pure."""

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from scaler.net.addresses import MAX_PORT
from scaler.resources import (
    LEAST_INLINE_BYTES,
    MOST_AMOUNT,
    MOST_INLINE_BYTES,
    Resources,
    bytes_of,
    resources_from,
)

T_co = TypeVar("T_co", covariant=True)

_YES = frozenset(("1", "true", "yes", "on"))
#: ten years; clocks and waits can be added to that
_LONGEST_S = 315_360_000
#: how Scaler says that there is none
_NO_LIMIT = -1
_MOST_TASKS = 1 << 40
#: half of it is what a worker takes by itself
_LEAST_WORKER_BYTES = 64_000_000
_LEAST_SCHEDULER_BYTES = 1_000_000
_NO = frozenset(("0", "false", "no", "off"))


@dataclass(frozen=True)
class Kind(Generic[T_co]):
    """`parse` raises `ValueError` for what is not `expected`; a list is one text, divided by its `separator`.

    `in_file` are the types that a YAML file may hold for it, beside a list where there is a separator.
    """

    expected: str
    metavar: str
    parse: Callable[[str], T_co]
    in_file: tuple[type, ...] = (str,)
    separator: str = ""
    choices: tuple[str, ...] = ()
    is_flag: bool = False
    is_path: bool = False


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError(text)
    return word in _YES


def count(most: int) -> Kind[int]:
    """So many of something, at least one."""

    def parse(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise ValueError(text)
        return number

    return Kind(f"a whole number from 1 to {most}", "N", parse, (int,))


def _limit(text: str) -> int | None:
    number = int(text)
    if number != _NO_LIMIT and not 1 <= number <= _MOST_TASKS:
        raise ValueError(text)
    return None if number == _NO_LIMIT else number


def _port(text: str) -> int | None:
    number = int(text)
    if number != _NO_LIMIT and not 0 <= number <= MAX_PORT:
        raise ValueError(text)
    return None if number == _NO_LIMIT else number


def _number_above_0(text: str) -> float:
    number = _number(text)
    if not number:
        raise ValueError(text)
    return number


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    seconds = _number(text)
    if seconds > _LONGEST_S:
        raise ValueError(text)
    return seconds


def _seconds_above_0(text: str) -> float:
    _number_above_0(text)
    return _seconds(text)


def _words(text: str, separator: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(separator) if (word := part.strip()))


def _quantities(text: str) -> Resources:
    amounts: dict[str, float] = {}
    for word in _words(text, ","):
        name, equals, amount = word.partition("=")
        if not name.strip() or not equals:
            raise ValueError(text)
        amounts[name.strip()] = number = _number_above_0(amount)
        if number > MOST_AMOUNT:
            raise ValueError(text)
    return resources_from(amounts)


def _moment(text: str) -> float:
    """Seconds since 1970 of `1790000000`, `2026-11-22T12:00` (local time) or `2026-11-22T12:00+01:00`."""
    try:
        return _number_above_0(text)
    except ValueError:
        return datetime.datetime.fromisoformat(text.strip()).timestamp()


def _scheduler_memory(text: str) -> int:
    size_bytes = bytes_of(text)
    if size_bytes < _LEAST_SCHEDULER_BYTES:
        raise ValueError(text)
    return size_bytes


def _worker_memory(text: str) -> int:
    size_bytes = bytes_of(text)
    if size_bytes < _LEAST_WORKER_BYTES:
        raise ValueError(text)
    return size_bytes


def _inline_size(text: str) -> int:
    size_bytes = bytes_of(text)
    if not LEAST_INLINE_BYTES <= size_bytes <= MOST_INLINE_BYTES:
        raise ValueError(text)
    return size_bytes


def _store_memory(text: str) -> int:
    return 0 if text.strip() == "0" else _scheduler_memory(text)


def _preload(text: str) -> str:
    from scaler.worker.preload import parse_preload  # noqa: PLC0415  # few have one

    parse_preload(text)
    return text.strip()


def _path(text: str) -> Path:
    if not text:  # which would be the working directory
        raise ValueError(text)
    return Path(text).expanduser()


def _one_of(*choices: str) -> Kind[str]:
    known = {choice.lower(): choice for choice in choices}

    def parse(text: str) -> str:
        choice = known.get(text.strip().lower())
        if choice is None:
            raise ValueError(text)
        return choice

    return Kind(f"one of {', '.join(choices)}", "|".join(choices), parse, choices=choices)


TEXT = Kind("text", "TEXT", str)
ADDRESS = Kind("an address such as tcp://host:8516, host:8516 or ipc://name", "ADDRESS", str)
LIMIT = Kind("a whole number from 1, or -1 for no limit", "N", _limit, (int,))
PORT = Kind(f"a port up to {MAX_PORT}, 0 for any, or -1 for none", "PORT", _port, (int,))
FLAG = Kind("true or false", "", _flag, (bool,), is_flag=True)
SECONDS = Kind("a number of seconds above 0, up to ten years", "SECONDS", _seconds_above_0, (int, float))
SECONDS_OR_0 = Kind("a number of seconds from 0, up to ten years", "SECONDS", _seconds, (int, float))
FILE = Kind("a path", "PATH", _path, is_path=True)
NAMES = Kind("names, divided by commas", "NAME", lambda text: _words(text, ","), separator=",")
FILES = Kind("paths, divided by commas", "PATH", lambda text: _words(text, ","), separator=",", is_path=True)
FOLDERS = Kind("folders, divided by colons", "FOLDER", lambda text: _words(text, ":"), separator=":", is_path=True)
QUANTITIES = Kind(
    f"quantities above 0, up to {MOST_AMOUNT:g}, such as gpu=2",
    "NAME=AMOUNT",
    _quantities,
    (str, dict),
    separator=",",
)
MOMENT = Kind(
    "a moment, as seconds since 1970 or like 2026-11-22T12:00",
    "MOMENT",
    _moment,
    (int, float, str, datetime.datetime),
)
SCHEDULER_MEMORY = Kind("a size from 1M, such as 500M, 2G or 2Gi", "SIZE", _scheduler_memory)
STORE_MEMORY = Kind("0, or a size from 1M, such as 500M, 2G or 2Gi", "SIZE", _store_memory)
INLINE_SIZE = Kind("a size from 1Ki to 64Mi, such as 64Ki", "SIZE", _inline_size)
WORKER_MEMORY = Kind("a size from 64M, such as 500M, 2G or 2Gi", "SIZE", _worker_memory)
PRELOAD = Kind("module:function or module:function('a', k=1)", "CALL", _preload)
LEVEL = _one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMAT = _one_of("text", "kv", "json")
EVENT_LOOP = _one_of("builtin", "uvloop")
