"""Calls that every worker makes once: for the client one task, whose outcome is the first failure of all, if any."""

import functools
from collections.abc import Callable
from typing import Any

from scaler.client.io_thread import IoThread
from scaler.client.sinks import MapSink
from scaler.ids import BatchId, Range
from scaler.ledger.events import BatchClosed, BatchOpened, FunctionPickled, TasksAppended, Unwanted
from scaler.payload.calls import pickle_call, single_column
from scaler.payload.functions import call_and_forget, pickle_function
from scaler.protocol import BatchOptions

#: such calls go before all tasks
MOST_URGENT = (1 << 63) - 1


def run_on_workers(io: IoThread, batch: BatchId, fn: Callable[[], Any], options: BatchOptions) -> None:
    """Have it called and wait; raises the first failure."""
    function = pickle_function(functools.partial(call_and_forget, fn))
    sink = MapSink(batch, options.name)
    io.remember(sink)
    io.post(
        FunctionPickled(function.id, function.frames),
        BatchOpened(batch, function.id, options),
        TasksAppended(batch, single_column(0, pickle_call(()))),
        BatchClosed(batch),
    )
    try:
        results, failed = sink.collect(1)
    except BaseException:
        io.post(Unwanted(batch, (Range(0, 1),)))
        raise
    finally:
        io.forget(batch)
    if failed:
        raise results[0]
