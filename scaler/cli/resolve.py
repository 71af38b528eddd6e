"""Where the value of each setting comes from: command line, then environment, then file, then default. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from scaler.cli.settings import CONFIG_VARIABLE, SECTIONS, VARIABLE_PREFIX, Setting, Table
from scaler.errors import ConfigurationError

T = TypeVar("T")

#: what was typed, by the name of the setting: the words of an option, or whether a flag is set
Typed = Mapping[str, Sequence[str] | bool]

#: what Kubernetes sets in every container for a service, which may well be called scaler
_OF_A_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_\d+_|$)")
#: all begin alike, so that names have to be closer than words
_ALIKE = 0.8

COMMAND_LINE, ENVIRONMENT, FILE, DEFAULT = "command line", "environment", "file", "default"


@dataclass(frozen=True)
class Entry:
    """What a file says of one setting, as text, and where: `FILE: worker.threads`."""

    text: str
    where: str


class Entries(Protocol):
    """A file of settings."""

    def entry(self, section: str, setting: Setting[object]) -> Entry | None:
        """What it says of a setting of a section."""
        ...


@dataclass(frozen=True)
class Found:
    """A value, the kind of its origin, and where exactly it stands."""

    value: object
    origin: str
    where: str = ""


class Resolved:
    """The value of every setting of one section, looked up by the setting itself."""

    def __init__(self, found: Mapping[str, Found]) -> None:
        self.found = found

    def __getitem__(self, setting: Setting[T]) -> T:
        return cast("T", self.found[setting.name].value)

    def given(self, setting: Setting[T]) -> T | None:
        """The value somebody has given it; None if it is the default."""
        return None if self.found[setting.name].origin == DEFAULT else self[setting]

    def where(self, setting: Setting[object]) -> str:
        """Where the value stands, for a message."""
        return self.found[setting.name].where or setting.label


def resolve(
    section: str,
    typed: Typed,
    environment: Mapping[str, str],
    file: Entries | None = None,
    table: Table | None = None,
) -> Resolved:
    """The value and origin of every setting of a section, or of a table that has none in files.

    `ConfigurationError` names the place of one that is wrong.
    """
    table = SECTIONS[section] if table is None else table
    return Resolved({setting.name: _find(setting, section, typed, environment, file) for setting in table})


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line about each variable that looks like one of ours and that nobody reads, with what may have been meant."""
    settings = (setting for table in SECTIONS.values() for setting in table)
    known = {CONFIG_VARIABLE, *(name for setting in settings for name in setting.variables)}
    ours = (name for name in environment if name.startswith(VARIABLE_PREFIX) and not _OF_A_SERVICE.search(name))
    unknown = sorted(name for name in ours if name not in known)
    return [f"the variable {name} means nothing; {_hint(name, known)}" for name in unknown]


def _hint(name: str, known: set[str]) -> str:
    import difflib  # noqa: PLC0415  # few need it

    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE)
    return f"did you mean {near[0]}?" if near else "see --help for those that do"


def _find(
    setting: Setting[object], section: str, typed: Typed, environment: Mapping[str, str], file: Entries | None
) -> Found:
    words = typed.get(setting.name)
    if isinstance(words, bool):
        return Found(words, COMMAND_LINE, setting.label)
    if words:
        return Found(_parsed(setting, setting.kind.separator.join(words), setting.label), COMMAND_LINE, setting.label)
    for name in setting.variables:
        if text := environment.get(name):
            _forbid_unless_typed(setting, name)
            return Found(_parsed(setting, text, name), ENVIRONMENT, name)
    entry = file.entry(section, setting) if file else None
    if entry is not None:
        _forbid_unless_typed(setting, entry.where)
        return Found(_parsed(setting, entry.text, entry.where), FILE, entry.where)
    return Found(setting.value_without(), DEFAULT)


def _parsed(setting: Setting[object], text: str, where: str) -> object:
    try:
        return setting.kind.parse(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{where}: expected {setting.kind.expected}, not {text!r:.200}") from None


def _forbid_unless_typed(setting: Setting[object], where: str) -> None:
    """What gives up safety is neither inherited nor left behind in a file."""
    if setting.must_be_typed:
        raise ConfigurationError(f"{where}: type {setting.label} on the command line; it is taken from nowhere else")
