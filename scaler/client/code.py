"""The archives that a ledger needs beside functions: named by what stands before these, known to this process alone."""

from collections.abc import Iterable, Iterator

from scaler.ids import FunctionId
from scaler.ledger.events import Event, FunctionPickled
from scaler.payload.shipping import shipping
from scaler.protocol.code import archives_of
from scaler.protocol.columns import frames_of


def archive(name: FunctionId) -> FunctionPickled | None:
    """An archive, told as functions are, if this process has it."""
    data = shipping.archive(name)
    return None if data is None else FunctionPickled(name, frames_of(data))


def with_archives(events: Iterable[Event]) -> Iterator[Event]:
    """The same events; before each function what it came with."""
    for event in events:
        if isinstance(event, FunctionPickled):
            for name in archives_of(event.frames):
                found = archive(name)
                if found is not None:
                    yield found
        yield event
