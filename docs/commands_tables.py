"""The generated parts of docs/commands.md: every option, variable, default and exit code, as the commands have them."""

from collections.abc import Callable
from pathlib import Path

from scaler.cli.endings import ExitCode
from scaler.cli.options import negative, shown
from scaler.cli.settings import DISCARDED, SCHEDULER, SHARED, WORKER, Setting, Table

PAGE = Path(__file__).with_name("commands.md")


def _settings(table: Table) -> str:
    rows = ["| option | what it is for | default | variable | key |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(_cells(setting))} |" for setting in table]
    return "\n".join(rows)


def _cells(setting: Setting[object]) -> tuple[str, ...]:
    kind = setting.kind
    if setting.is_argument:
        spelled = f"`{kind.metavar}`"
    else:
        words = [f"`{word}`" for word in setting.options]
        words += [f"`{negative(setting)}`"] if kind.is_flag else []
        spelled = ", ".join(words) + (f" `{kind.metavar}`".replace("|", "\\|") if kind.metavar else "")
    variables = ", ".join(f"`{name}`" for name in setting.variables)
    default = setting.otherwise or shown(setting.value_without())
    if setting.must_be_typed:
        return spelled, setting.help, default, "must be typed", "must be typed"
    return spelled, setting.help, default, variables, f"`{setting.name}`"


def _discarded(section: str) -> str:
    rows = ["| option | why it means nothing here |", "|---|---|"]
    for option in DISCARDED[section]:
        words = ", ".join(f"`{word}`" for word in option.spellings)
        silent = f" (no warning for `{option.harmless}`)" if option.harmless else ""
        rows.append(f"| {words} | {option.reason}{silent} |")
    return "\n".join(rows)


def _exit_codes() -> str:
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {code.description} |" for code in ExitCode)])


PARTS: dict[str, Callable[[], str]] = {
    "scheduler settings": lambda: _settings(tuple(setting for setting in SCHEDULER if setting not in SHARED)),
    "worker settings": lambda: _settings(tuple(setting for setting in WORKER if setting not in SHARED)),
    "shared settings": lambda: _settings(SHARED),
    "scheduler names of Scaler": lambda: _discarded("scheduler"),
    "worker names of Scaler": lambda: _discarded("worker"),
    "exit codes": _exit_codes,
}
