"""The YAML file of settings: sections `scheduler` and `worker`; what both share may stand outside of them.

key_file: ~/keys
scheduler:
  client_timeout: 30
worker:
  tags: [gpu]
"""

import difflib
from collections.abc import Mapping
from pathlib import Path

import yaml

from scaler.cli.resolve import Entry
from scaler.cli.settings import SECTIONS, SHARED, Setting, Table
from scaler.errors import ConfigurationError


class ConfigFile:
    """The entries of a file, all of them checked for being known and of the right type."""

    def __init__(self, name: str, content: object) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        shared = _mapping(name, "the file", content)
        sections = {key: shared.pop(key) for key in SECTIONS if key in shared}
        self._read(name, "", shared, SHARED, list(SECTIONS))
        for section, held in sections.items():
            self._read(name, section, _mapping(name, section, held), SECTIONS[section], [])

    def entry(self, section: str, setting: Setting[object]) -> Entry | None:
        """What the file says of a setting: in its section, else outside of the sections."""
        return self._entries.get((section, setting.name)) or self._entries.get(("", setting.name))

    def _read(
        self, name: str, section: str, held: Mapping[str, object], table: Table, further: list[str]
    ) -> None:  # fmt: skip
        settings = {setting.name: setting for setting in table}
        for key, value in held.items():
            where = f"{name}: {section}.{key}" if section else f"{name}: {key}"
            setting = settings.get(key)
            if setting is None:
                raise ConfigurationError(f"{where}: unknown key{_hint(key, section, [*settings, *further])}")
            if value is not None:
                self._entries[section, key] = Entry(_text(setting, value, where), where)


def read_config_file(path: Path) -> ConfigFile:
    """The file at `path`; `ConfigurationError` names whatever is wrong with it, and where."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"the settings file {path} cannot be read: {reason}") from None
    except (yaml.YAMLError, ValueError) as error:  # a date or number that is none comes as the latter
        raise ConfigurationError(f"the settings file {path} is no YAML: {' '.join(str(error).split())}") from None
    return ConfigFile(str(path), {} if content is None else content)


def _mapping(name: str, what: str, content: object) -> dict[str, object]:
    """Keys as they are called here: a file may write `client-timeout` for `client_timeout`."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{name}: {what} must hold 'key: value' lines, not {content!r}")
    found: dict[str, object] = {}
    for key, value in content.items():
        plain = str(key).replace("-", "_")
        if plain in found:
            raise ConfigurationError(f"{name}: {what} holds {plain} twice")
        found[plain] = value
    return found


def _hint(key: str, section: str, known: list[str]) -> str:
    """What may have been meant by a key nobody knows."""
    homes = [name for name, table in SECTIONS.items() if key in [setting.name for setting in table]]
    if homes and not section:
        return f"; it belongs into {' or '.join(homes)}"
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _text(setting: Setting[object], value: object, where: str) -> str:
    """The value as the command line would have it; a wrong type is an error."""
    kind = setting.kind
    if isinstance(value, list) and kind.separator and all(_is(one, (str, int, float)) for one in value):
        return kind.separator.join(map(str, value))
    if not _is(value, kind.in_file):
        raise ConfigurationError(f"{where}: expected {kind.expected}, not {value!r}")
    if isinstance(value, dict):
        return kind.separator.join(f"{name}={amount}" for name, amount in value.items())
    return str(value)


def _is(value: object, types: tuple[type, ...]) -> bool:
    """`isinstance`, for which true is no number."""
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))
