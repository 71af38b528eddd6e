"""click's options and arguments, derived from the table of settings."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from scaler.cli.kinds import Kind
from scaler.cli.settings import CONFIG_VARIABLE, DISCARDED, SECTIONS, Discarded, Setting, Table

#: how `complete` is called by click
_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def parameters(section: str) -> list[click.Parameter]:
    """Everything the command of a section takes: its settings, what it accepts and discards, and where its file is."""
    table = sorted(SECTIONS[section], key=lambda setting: not setting.is_argument)
    return [
        *of_table(table),
        click.Option(["--parent-fd"], type=int, hidden=True),
        *(_discarded(option) for option in DISCARDED[section]),
    ]


def of_table(table: Iterable[Setting[object]]) -> list[click.Parameter]:
    """What takes the settings of a table, and where their file is."""
    config = click.Option(
        ["--config"],
        type=click.Path(),
        metavar="FILE",
        envvar=CONFIG_VARIABLE,
        help=f"A YAML file of settings.  [env: {CONFIG_VARIABLE}]",
    )
    return [*map(_parameter, table), config]


def typed_settings(table: Table, values: dict[str, Any]) -> dict[str, Sequence[str] | bool]:
    """What click understood, of the settings of a table, without those that were not typed."""
    typed: dict[str, Sequence[str] | bool] = {}
    for setting in table:
        value = values[setting.name]
        if isinstance(value, str):
            value = (value,)
        if value or value is False:
            typed[setting.name] = value
    return typed


def warnings(section: str, values: dict[str, Any]) -> list[str]:
    """A line for each option that was typed and has nothing to say."""
    return [
        f"{option.spellings[0]} means nothing here: {option.reason}"
        for option in DISCARDED[section]
        if values[_name(option)] not in {None, option.harmless}
    ]


def described(setting: Setting[object]) -> str:
    """What a setting is for, what it is without one, and the variables that set it: one line of `--help`."""
    facts = [f"default: {setting.otherwise or shown(setting.value_without())}"]
    if not setting.must_be_typed:
        facts.append(f"env: {', '.join(setting.variables)}")
    return f"{setting.help}  [{'; '.join(facts)}]"


def shown(value: object) -> str:
    """A value as people write it."""
    match value:
        case None | ():
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}" if value < 1e6 else f"{value:.0f}"
        case tuple():
            return ",".join(f"{one[0]}={one[1]:g}" if isinstance(one, tuple) else str(one) for one in value)
        case _:
            return str(value)


def negative(setting: Setting[object]) -> str:
    """The spelling that switches a flag off."""
    return f"--no-{setting.options[0].removeprefix('--')}"


def _parameter(setting: Setting[object]) -> click.Parameter:
    kind = setting.kind
    if setting.is_argument:
        return click.Argument([setting.name], required=False, metavar=f"[{kind.metavar}]")
    spellings = list(setting.options)
    if kind.is_flag:
        spellings[0] = f"{spellings[0]}/{negative(setting)}"
        return click.Option([*spellings, setting.name], default=None, help=described(setting))
    return click.Option(
        [*spellings, setting.name],
        type=click.Path() if kind.is_path else str,
        metavar=kind.metavar,
        multiple=bool(kind.separator),
        help=described(setting),
        shell_complete=_completing(kind),
    )


def _completing(kind: Kind[object]) -> _Complete | None:
    if not kind.choices:
        return None

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(choice) for choice in kind.choices if choice.startswith(begun)]

    return complete


def _discarded(option: Discarded) -> click.Parameter:
    return click.Option([*option.spellings, _name(option)], type=str, hidden=True)


def _name(option: Discarded) -> str:
    return f"discarded_{option.spellings[0].strip('-').replace('-', '_')}"
