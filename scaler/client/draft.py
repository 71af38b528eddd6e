"""A batch while its calls are drawn from what a user gave: what is said of it, and in which order."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from scaler.client.io_thread import IoThread
from scaler.client.mapping import Calls
from scaler.client.posting import NeededTask, PostedColumn
from scaler.client.progress import Tally
from scaler.client.sinks import Sink
from scaler.ids import Range
from scaler.ledger.events import BatchClosed, BatchOpened, FunctionPickled, TasksAppended, Unwanted
from scaler.payload.calls import Block, Futures, columns
from scaler.payload.functions import PickledFunction
from scaler.payload.pickling import Lift
from scaler.protocol import BatchOptions
from scaler.protocol.columns import ArgumentColumn


class Growing(Sink, Protocol):
    """A sink that is told how many outcomes it is to expect, and counts those that came and those that are failures."""

    done: int
    failed: int

    def expect(self, hi: int) -> None:
        """The calls up to `hi` are on their way; told before they are."""
        ...


S = TypeVar("S", bound=Growing)


class Draft(Generic[S]):
    """One batch, from its opening until it is closed or given up; used by the thread that draws.

    `own` refuses futures that are not the client's, `lift` makes of large arguments what stands for them. A batch that
    `outlives` the client goes on once it is closed, whoever lets go of it.
    """

    def __init__(
        self,
        io: IoThread,
        sink: S,
        function: PickledFunction,
        options: BatchOptions,
        own: Callable[[tuple[NeededTask, ...]], object] = len,
        lift: Lift | None = None,
        *,
        outlives: bool = False,
    ) -> None:
        self.sink = sink
        #: so many calls are on their way, or have been
        self.size = 0
        self.name = options.name
        self._is_closed = False
        self._own = own
        self._lift = lift
        self._outlives = outlives
        self._io = io
        io.remember(sink)
        io.post(
            FunctionPickled(function.id, function.frames),
            BatchOpened(sink.batch, function.id, options),
        )

    def append(self, column: ArgumentColumn, futures: Futures) -> None:
        """Send the next calls, with the futures among their arguments."""
        for among in futures.values():
            self._own(among)
        self.size = column.hi
        self.sink.expect(column.hi)
        batch = self.sink.batch
        self._io.post(PostedColumn(batch, column, futures) if futures else TasksAppended(batch, column))

    def columns(
        self, elements: Iterable[Any], as_calls: Callable[[list[Any]], Block]
    ) -> Iterator[tuple[ArgumentColumn, Futures]]:
        """The next calls, drawn from elements; after a `StoreFullError` it can be asked for them again."""
        return columns(elements, self.size, as_calls, lift=self._lift)

    def append_all(self, calls: Calls) -> None:
        """Draw and send every call, and close the batch; if drawing fails it is given up."""
        elements, as_calls = calls
        try:
            for column, futures in self.columns(elements, as_calls):
                self.append(column, futures)
        except BaseException:
            self.give_up()
            raise
        self.close()

    def close(self) -> None:
        """No call follows."""
        self._is_closed = True
        self._io.post(BatchClosed(self.sink.batch))
        if self._io.is_over:  # it may have told the sink so before the last calls were expected
            self.sink.abort(self._io.error)

    def give_up(self) -> None:
        """No call follows, and nobody here wants what has not ended."""
        if not (self._is_closed and self._outlives):
            self._withdraw()
        self.forget()

    def _withdraw(self) -> None:
        self._io.post(BatchClosed(self.sink.batch), Unwanted(self.sink.batch, (Range(0, self.size),)))

    def forget(self) -> None:
        """Nobody waits for its outcomes any more."""
        self._io.forget(self.sink.batch)

    def tally(self, expected: int | None) -> Tally:
        """How far it is, if that many calls are expected in all."""
        return Tally(self.sink.done, self.sink.failed, self.size if self._is_closed else expected)
