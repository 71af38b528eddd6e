"""The table of commands. Each parses, builds one record and makes one call; `invoke` turns failures into exit codes.

What a command needs beyond that is imported when it is called: a worker cluster never loads the scheduler.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import scaler
from scaler.cli import options
from scaler.cli.endings import ExitCode, exit_code
from scaler.cli.main import parent_line
from scaler.cli.resolve import Resolved, resolve, unknown_variables
from scaler.cli.settings import CONFIG_VARIABLE, CONNECTION, SECTIONS, Table
from scaler.errors import ConfigurationError, ScalerError

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
_COMPLETION = """\b
Shell completion, for good in ~/.bashrc (zsh_source and fish_source likewise):
    eval "$(_SCALER_COMPLETE=bash_source scaler)"
    eval "$(_SCALER_SCHEDULER_COMPLETE=bash_source scaler_scheduler)"
    eval "$(_SCALER_WORKER_COMPLETE=bash_source scaler_worker)"
"""


def invoke(program: str, command: str, arguments: Sequence[str]) -> int:
    """Run a command of the table, or the group of them all for "", under this name; the exit code."""
    runnable = COMMANDS[command]() if command else _Scaler()
    try:
        result = runnable.main(list(arguments), prog_name=program, standalone_mode=False)
        return result if isinstance(result, int) else ExitCode.ENDED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else program
        _give_up(path, f"{error.format_message().rstrip('.')}; see '{path} --help'", arguments)
    except click.ClickException as error:
        _give_up(program, error.format_message(), arguments)
    except ScalerError as error:
        _give_up(program, str(error), arguments)
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    return ExitCode.BAD_INPUT


def _give_up(program: str, text: str, arguments: Sequence[str]) -> None:
    """Say why, to whoever started us too; a line without an end, since only what is ready says a whole one."""
    _complain(program, text)
    descriptor = parent_line(arguments)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(descriptor, " ".join(text.split()).encode())


def _complain(program: str, text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"{program}: {text}", err=True)


# ---- scheduler and worker


def _scheduler() -> click.Command:
    return _serving(
        "scheduler",
        _run_scheduler,
        "Start a scheduler that listens at ADDRESS. Clients and workers on this machine find it by themselves.",
    )


def _worker() -> click.Command:
    return _serving("worker", _run_worker, "Start workers here for the scheduler at ADDRESS: one worker cluster.")


def _serving(section: str, callback: Callable[..., int], text: str) -> click.Command:
    parameters = [*options.parameters(section), _version_option()]
    return click.Command(section, _HELP, callback, parameters, text)


def _run_scheduler(**values: Any) -> int:  # Any: what click has understood
    from scaler.cli import logs, records  # noqa: PLC0415  # --help needs none of these

    environment = dict(os.environ)
    _warn("scaler_scheduler", unknown_variables(environment))
    found = _resolved("scheduler", values, environment)
    config = records.scheduler_config(found, environment, _parent(values["parent_fd"]))
    _warn("scaler_scheduler", options.warnings("scheduler", values))
    logs.start_logging(records.log_config(found))
    from scaler.scheduler import shell  # noqa: PLC0415  # after the first line of the log

    shell.run(config)
    return ExitCode.ENDED


def _run_worker(**values: Any) -> int:  # Any: what click has understood
    from scaler.cli import logs, records  # noqa: PLC0415  # --help needs none of these

    environment = dict(os.environ)
    _warn("scaler_worker", unknown_variables(environment))
    found = _resolved("worker", values, environment)
    config = records.worker_config(
        found, environment, lambda: _running_scheduler(environment), _parent(values["parent_fd"])
    )
    _warn("scaler_worker", [*options.warnings("worker", values), *records.missing_folders(found)])
    logs.start_logging(records.log_config(found))
    from scaler.worker import shell  # noqa: PLC0415  # after the first line of the log

    return shell.run(config)


def _resolved(
    section: str, values: dict[str, Any], environment: Mapping[str, str], table: Table | None = None
) -> Resolved:
    path = values["config"]
    typed = options.typed_settings(SECTIONS[section] if table is None else table, values)
    if path is None:
        return resolve(section, typed, environment, None, table)
    from scaler.cli.config_file import read_config_file  # noqa: PLC0415  # few have a file, and YAML takes its time

    return resolve(section, typed, environment, read_config_file(Path(path).expanduser()), table)


def _running_scheduler(environment: Mapping[str, str]) -> str | None:
    """The address of a scheduler of this user on this machine."""
    from scaler.net.connection_file import find_scheduler  # noqa: PLC0415  # most are told an address

    facts = find_scheduler(environment)
    return facts.address if facts else None


def _parent(descriptor: int | None) -> int | None:
    """The line to whoever started us; it is ours alone."""
    if descriptor is not None:
        try:
            os.set_inheritable(descriptor, False)
        except (OSError, OverflowError):
            raise ConfigurationError(f"--parent-fd: {descriptor} is no open descriptor") from None
    return descriptor


def _warn(program: str, lines: Iterable[str]) -> None:
    for line in lines:
        _complain(program, f"warning: {line}")


# ---- keygen


def _keygen() -> click.Command:
    parameters: list[click.Parameter] = [click.Argument(["directory"], type=click.Path(), metavar="DIRECTORY")]
    return click.Command(
        "keygen",
        _HELP,
        _make_keys,
        parameters,
        "Make keys in DIRECTORY: for a scheduler, and for clients and workers on other machines. "
        "What is there already stays as it is.",
    )


def _make_keys(directory: str) -> int:
    from scaler.net.keys import load_server, make_key_directory  # noqa: PLC0415  # nobody else here needs them

    if not directory:
        raise ConfigurationError("DIRECTORY: expected a path, not ''")
    place = Path(directory).expanduser().absolute()
    was_there = place.exists()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
        was_there = False
    make_key_directory(place)
    load_server(place, {})
    click.echo(
        f"{'these keys were there already, nothing was changed' if was_there else 'made keys'}: {place}\n"
        f"  scheduler  scaler_scheduler ADDRESS --key-file {place}\n"
        f"  workers    copy {place / 'worker.key'}, then: scaler_worker ADDRESS --key-file worker.key\n"
        f"  clients    copy {place / 'client.key'}, then: Client(ADDRESS, key_file='client.key')\n"
        f"To take a key back, delete its file in {place / 'authorized'}"
    )
    return ExitCode.ENDED


# ---- config


def _config() -> click.Command:
    parameters: list[click.Parameter] = [
        click.Argument(["section"], required=False, type=click.Choice([*SECTIONS])),
        click.Option(["--config"], type=click.Path(), metavar="FILE", envvar=CONFIG_VARIABLE, help="The file to read."),
        click.Option(["--json", "as_json"], is_flag=True, help="For programs."),
    ]
    show = click.Command(
        "show",
        _HELP,
        _show,
        parameters,
        "Print every setting of scheduler and worker with its value and where that comes from.",
    )
    return click.Group("config", {"show": show}, context_settings=_HELP, help="What settings hold, and why.")


def _show(section: str | None, config: str | None, *, as_json: bool) -> int:
    from scaler.cli import showing  # noqa: PLC0415  # nobody else here needs it

    _warn("scaler", unknown_variables(os.environ))
    sections = [section] if section else [*SECTIONS]
    values = {setting.name: None for name in sections for setting in SECTIONS[name]} | {"config": config}
    found = {name: _resolved(name, values, os.environ) for name in sections}
    click.echo(showing.as_json(found) if as_json else showing.as_table(found))
    return ExitCode.ENDED


# ---- durable


def _durable() -> click.Command:
    connection = options.of_table(CONNECTION)
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="For programs.")
    name = click.Argument(["name"], metavar="NAME")
    found = "The scheduler is at ADDRESS, or is yours on this machine."
    listing = f"List the durable works of your key, with the tasks that wait or run and those that have ended. {found}"
    dropping = f"Forget the durable work NAME, with all its tasks and results, also those that run. {found}"
    commands = {
        "list": click.Command("list", _HELP, _list_works, [*connection, as_json], listing),
        "drop": click.Command("drop", _HELP, _drop_work, [name, *connection], dropping),
    }
    return click.Group("durable", commands, context_settings=_HELP, help="The works of clients with durable=NAME.")


def _list_works(*, as_json: bool, **values: Any) -> int:  # Any: what click has understood
    from scaler.cli import works  # noqa: PLC0415  # nobody else here needs a client

    listed = works.listed(_resolved("durable", values, os.environ, CONNECTION))
    click.echo(works.as_json(listed) if as_json else works.as_table(listed))
    return ExitCode.ENDED


def _drop_work(name: str, **values: Any) -> int:  # Any: what click has understood
    from scaler.cli import works  # noqa: PLC0415  # nobody else here needs a client

    if why := works.refusal(_resolved("durable", values, os.environ, CONNECTION), name):
        _complain("scaler", why)
        return ExitCode.FAILED
    click.echo(f"dropped the durable work {name}, with its tasks and results")
    return ExitCode.ENDED


# ---- all of them

COMMANDS: dict[str, Callable[[], click.Command]] = {
    "scheduler": _scheduler,
    "worker": _worker,
    "keygen": _keygen,
    "config": _config,
    "durable": _durable,
}


class _Scaler(click.Group):
    """The group of all commands, each built when it is asked for."""

    def __init__(self) -> None:
        super().__init__(
            "scaler",
            context_settings=_HELP,
            params=[_version_option()],
            help="Run Python functions a million times, or on a thousand machines.",
            epilog=_COMPLETION,
        )

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        return COMMANDS[cmd_name]() if cmd_name in COMMANDS else None


def _version_option() -> click.Option:
    def show(context: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001  # click's
        if is_asked:
            click.echo(f"scaler {scaler.__version__}, Python {sys.version.split()[0]}")
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version and exit."
    )
