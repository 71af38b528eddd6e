"""Lines of text, for terminals and for logs: what may stand in one, and how values are written in it."""

import json
import re
import time

_PLAIN = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f]+")
#: sequences that a terminal obeys, as far as they go, and single characters that it does; a tab moves only on
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\n-\x1f\x7f-\x9f]"
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_NO_COLOUR = "\x1b[0m"


def plain(text: str) -> str:
    """One line of a text, without what would do more at a terminal than show it, but for colours, which end with it."""
    if text.isprintable():
        return text
    kept = _CONTROLS.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", text)
    return kept + _NO_COLOUR if "\x1b" in kept and not kept.endswith(_NO_COLOUR) else kept


def plain_lines(text: str) -> list[str]:
    """The lines of a text, each as `plain` leaves it; what a carriage return would write over is a line, too."""
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return [plain(part) for line in lines for part in ([part for part in line.split("\r") if part] or [""])]


def word(value: object) -> str:
    """A value as it stands behind `name=`."""
    text = str(value)
    return text if text.isprintable() and _PLAIN.fullmatch(text) else quoted(text)


def quoted(text: str) -> str:
    """In quotes; with what would move a terminal's cursor or turn the line around as an escape."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def moment(unix_s: float) -> str:
    """ISO 8601 with milliseconds and the offset of the local time."""
    there = time.localtime(unix_s)
    zone = time.strftime("%z", there)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', there)}.{int(unix_s % 1 * 1000):03}{zone[:3]}:{zone[3:]}"
