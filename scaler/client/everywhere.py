"""Calls that every worker makes once: for the client one task, whose outcome is the first failure of all, if any."""

from collections.abc import Callable
from typing import Any

from scaler.client.batches import Batches
from scaler.client.options import TaskOptions
from scaler.client.signatures import call_shape
from scaler.client.sinks import MapSink
from scaler.client.waits import require_may_wait
from scaler.errors import SchedulerError
from scaler.payload.calls import pickle_call, single_column
from scaler.payload.functions import function_name

#: such calls go before all tasks
MOST_URGENT = (1 << 63) - 1


def run_on_workers(batches: Batches, fn: Callable[[], Any], tag: str | None) -> None:
    """Have it called and wait; raises the first failure."""
    if batches.are_nested:
        raise SchedulerError("run_on_workers would wait for the worker that this task is in: call it outside of tasks")
    require_may_wait("run_on_workers")
    call_shape(fn).check((), {})
    given: TaskOptions = {"name": function_name(fn), "tag": tag, "retries": 0, "priority": MOST_URGENT}
    draft = batches.draft(fn, given, MapSink, everywhere=True)
    try:
        draft.append(single_column(0, pickle_call(())), {})
        draft.close()
        results, failed = draft.sink.collect()
    except BaseException:
        draft.give_up()
        raise
    draft.forget()
    if failed:
        raise results[0]
