"""`scaler config show`: every setting with its value and its origin, for people and for programs. Pure."""

import json
from collections.abc import Mapping
from pathlib import Path

from scaler.cli.options import shown
from scaler.cli.resolve import Found, Resolved
from scaler.cli.settings import SECTIONS, Setting


def as_table(found: Mapping[str, Resolved]) -> str:
    """A block for each section, its columns aligned."""
    rows = [row for section, resolved in found.items() for row in _rows(section, resolved)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = []
    for section, resolved in found.items():
        lines.append(f"{section}:")
        for name, value, origin in _rows(section, resolved):
            lines.append(f"  {name:{widths[0]}}  {value:{widths[1]}}  {origin}")
    return "\n".join(lines)


def as_json(found: Mapping[str, Resolved]) -> str:
    """One object: section, setting, and of that its value, origin and place."""
    sections = {
        section: {setting.name: _members(setting, resolved.found[setting.name]) for setting in SECTIONS[section]}
        for section, resolved in found.items()
    }
    return json.dumps(sections, indent=2, ensure_ascii=False)


def _rows(section: str, resolved: Resolved) -> list[tuple[str, str, str]]:
    rows = []
    for setting in SECTIONS[section]:
        one = resolved.found[setting.name]
        origin = f"{one.origin}: {one.where}" if one.where else one.origin
        rows.append((setting.name, _told(setting, one.value), origin))
    return rows


def _told(setting: Setting[object], value: object) -> str:
    return setting.otherwise if value in (None, ()) and setting.otherwise else shown(value)


def _members(setting: Setting[object], one: Found) -> dict[str, object]:
    value = one.value
    if isinstance(value, Path):
        value = str(value)
    elif isinstance(value, tuple):
        value = dict(value) if dict in setting.kind.in_file else list(value)
    return {"value": value, "origin": one.origin, "where": one.where}
