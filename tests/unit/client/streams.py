"""A stream with a script of what happens while it waits."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

from msgspec import structs

from scaler.client.mapping import calls_of
from scaler.client.signatures import call_shape
from scaler.client.sinks import MapSink
from scaler.client.stream import Stream
from scaler.ledger.events import Resolve, TasksAppended
from scaler.payload.values import Outcome
from scaler.protocol.columns import REFERENCE
from tests.unit.client.examples import BATCH, Io, drafted, resolved


def same(value: Any) -> Any:
    return value


class Kept:
    """What stands for a result that stays where it was made."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def open(self) -> Outcome:
        return Outcome(self.size_bytes, None)


def stored(lo: int, count: int, size_bytes: int) -> Resolve:
    """Results of so many bytes, which stay where they were made."""
    done = resolved(lo, *([0] * count))
    column = structs.replace(done.column, statuses=bytes([REFERENCE] * count))
    return structs.replace(done, column=column, kept={lo + number: Kept(size_bytes) for number in range(count)})


class Scripted(MapSink):
    """A sink to which, each time somebody waits, happens what is next in its script."""

    def __init__(self) -> None:
        super().__init__(BATCH, "f")
        self.script: list[Callable[[], None]] = []

    def wait(self, timeout_s: float | None = None) -> Any:
        self.script.pop(0)()
        return super().wait(timeout_s)


class Scene:
    """A stream, what it has drawn and sent, and what it is answered."""

    def __init__(
        self, elements: Any, buffersize: int | None = None, *, in_order: bool = True, return_exceptions: bool = False
    ) -> None:
        self.io, self.sink = Io(), Scripted()
        self.drawn = 0
        found, as_calls = calls_of(call_shape(same), (self._counted(elements),))
        self.stream = Stream(
            self,
            drafted(self.sink, self.io),
            iter(found),
            as_calls,
            buffersize,
            nullcontext(),
            in_order=in_order,
            return_exceptions=return_exceptions,
        )

    def _counted(self, elements: Any) -> Iterator[Any]:
        for element in elements:
            self.drawn += 1
            yield element

    @property
    def sent(self) -> int:
        return max((event.column.hi for event in self.io.posted if isinstance(event, TasksAppended)), default=0)

    def answer(self, lo: int, *outcomes: Any) -> None:
        self.sink.script.append(lambda: self.sink.resolve(resolved(lo, *outcomes)))

    def answer_stored(self, lo: int, count: int, size_bytes: int) -> None:
        """Results of so many bytes, which stay where they were made."""
        self.sink.script.append(lambda: self.sink.resolve(stored(lo, count, size_bytes)))
