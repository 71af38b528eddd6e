"""`scaler durable`: asks a scheduler for its durable works, as a client without work does, and shows what it says."""

import json
import os
from collections.abc import Iterable

from msgspec import to_builtins

from scaler.cli import settings
from scaler.cli.resolve import Resolved
from scaler.client.config import client_config
from scaler.client.io_thread import IoThread
from scaler.client.options import label_of
from scaler.client.questions import Answer, Question
from scaler.client.way import way_to_scheduler
from scaler.errors import ConfigurationError
from scaler.ids import SECRET_BYTES
from scaler.ledger.events import DropAsked, WorksAsked
from scaler.protocol import WorkDropped, WorksListed
from scaler.protocol.work_messages import WorkSummary
from scaler.resources import bytes_text

#: who types a command waits for it
_TIMEOUT_S = 10.0
_HEADS = ("name", "unfinished", "ended", "size", "problem")
_NONE_THERE = (
    "no scheduler address: give one, as in 'scaler durable list tcp://host:8516', or set SCALER_ADDRESS; "
    "no scheduler of yours runs on this machine"
)


def listed(found: Resolved) -> tuple[WorkSummary, ...]:
    """All durable works of the key that is shown."""
    answer = _ask(found, WorksAsked())
    return answer.works if isinstance(answer, WorksListed) else ()


def refusal(found: Resolved, name: str) -> str:
    """Have a work dropped; why it is not, "" if it is."""
    try:
        label_of("NAME", name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    answer = _ask(found, DropAsked(name))
    return answer.refused if isinstance(answer, WorkDropped) else ""


def _ask(found: Resolved, question: Question) -> Answer:
    config = client_config(
        found[settings.ADDRESS],
        name="scaler durable",
        timeout_s=_TIMEOUT_S,
        heartbeat_interval_s=2.0,
        key_file=found[settings.KEY_FILE],
        insecure=found[settings.INSECURE],
        insecure_off_loopback=found[settings.INSECURE_OFF_LOOPBACK],
        none_there=_NONE_THERE,
    )
    io = IoThread(config, way_to_scheduler(config, os.urandom(SECRET_BYTES)))
    try:
        io.connect()
        return io.ask(question)
    finally:
        io.leave("the command has its answer")


# ---- for people, and for programs


def as_table(works: Iterable[WorkSummary]) -> str:
    """A line for each, its columns aligned."""
    rows = [
        _HEADS,
        *((w.name, f"{w.unfinished:,}", f"{w.ended:,}", bytes_text(w.size_bytes), w.problem) for w in works),
    ]
    if len(rows) == 1:
        return "there are no durable works"
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join(_line(row, widths) for row in rows)


def as_json(works: Iterable[WorkSummary]) -> str:
    """A list of objects."""
    fields = WorkSummary.__struct_fields__
    return json.dumps([dict(zip(fields, to_builtins(work), strict=True)) for work in works], indent=2)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    """Figures stand at the right of their columns."""
    name, *figures, problem = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    figures = [cell.strip().rjust(len(cell)) for cell in figures]
    return "  ".join((name, *figures, problem)).rstrip()
