"""Write the generated parts of the pages anew: packages, states, messages and options, as the code has them.

`python -m docs.generate` rewrites the pages in place. What stands between two marker comments is replaced; the
rest of a page is written by hand.
"""

import importlib
import pkgutil
import re
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

import scaler
from docs import commands_tables
from scaler import protocol
from scaler.core.lifecycle import ENDED, TRANSITIONS, State
from scaler.protocol.connection import ConnectionMessage

PAGE = Path(__file__).with_name("architecture.md")
MESSAGES_PAGE = Path(__file__).with_name("messages.md")

_DIRECTIONS = (
    ("client → scheduler", protocol.FromClient),
    ("cluster → scheduler", protocol.FromCluster),
    ("scheduler → client", protocol.ToClient),
    ("scheduler → cluster", protocol.ToCluster),
    ("cluster → child", protocol.ChildLinked),
    ("any ↔ scheduler", ConnectionMessage),
)
#: how a task comes into the tables
_BEGINNINGS = ((State.QUEUED, "appended"), (State.HELD, "resumed after a restart"))


def packages() -> str:
    """A row for each package: what its docstring says it owns."""
    rows = ["| package | owns |", "|---|---|"]
    for found in pkgutil.iter_modules(scaler.__path__):
        if found.ispkg:
            owns = _opening(importlib.import_module(f"scaler.{found.name}").__doc__)
            rows.append(f"| `{found.name}` | {owns} |")
    return "\n".join(rows)


def states() -> str:
    """The diagram of a task's states, with the triggers on its arrows; those that lead to one place share one."""
    rows = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {state.name}: {how}" for state, how in _BEGINNINGS)]
    for state in State:
        arrows: dict[State, list[str]] = {}
        for (before, trigger), afters in TRANSITIONS.items():
            if before is state:
                for after in sorted(afters, key=list(State).index):
                    arrows.setdefault(after, []).append(trigger.name)
        rows += [f"    {state.name} --> {after.name}: {', '.join(names)}" for after, names in arrows.items()]
        if state in ENDED:
            rows.append(f"    {state.name} --> [*]: taken by the ledger")
    return "\n".join([*rows, "```"])


def transitions() -> str:
    """The table of transitions, a row for each state."""
    rows = ["| from | trigger → to |", "|---|---|"]
    for state in State:
        moves = [
            f"{trigger.name} → {' or '.join(sorted(after.name for after in afters))}"
            for (before, trigger), afters in TRANSITIONS.items()
            if before is state
        ]
        rows.append(f"| {state.name} | {' · '.join(moves) or 'nothing'} |")
    return "\n".join(rows)


def messages() -> str:
    """A row for each message: its number on the wire, who sends it to whom, and when."""
    ways: dict[type[typing.Any], list[str]] = {}
    for way, union in _DIRECTIONS:
        for message in typing.get_args(union) or (union,):
            ways.setdefault(message, []).append(way)
    rows = ["| number | message | way | when |", "|---|---|---|---|"]
    for message in sorted(ways, key=lambda message: message.__struct_config__.tag):
        number = message.__struct_config__.tag
        rows.append(f"| {number} | `{message.__name__}` | {', '.join(ways[message])} | {_opening(message.__doc__)} |")
    return "\n".join(rows)


PARTS: dict[str, Callable[[], str]] = {
    "packages": packages,
    "states": states,
    "transitions": transitions,
}
MESSAGES_PARTS: dict[str, Callable[[], str]] = {"messages": messages}


def render(page: str, parts: Mapping[str, Callable[[], str]] = PARTS) -> str:
    """The page with every generated part as the code has it now."""
    for name, part in parts.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"the page has no part between {begin!r} and {end!r}")
        text = f"{begin}\n{part()}\n{end}"
        page = pattern.sub(lambda _, text=text: text, page)
    return page


def _opening(docstring: str | None) -> str:
    """The first paragraph of a docstring on one line, fit for a table."""
    paragraph = (docstring or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


if __name__ == "__main__":
    pages = ((PAGE, PARTS), (MESSAGES_PAGE, MESSAGES_PARTS), (commands_tables.PAGE, commands_tables.PARTS))
    for written, with_parts in pages:
        written.write_text(render(written.read_text(encoding="utf-8"), with_parts), encoding="utf-8")
