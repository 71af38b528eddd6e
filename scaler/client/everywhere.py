"""Calls that every worker makes once: for the client one task, whose outcome is the first failure of all, if any."""

from scaler.client.draft import Draft
from scaler.client.sinks import MapSink
from scaler.payload.calls import pickle_call, single_column

#: such calls go before all tasks
MOST_URGENT = (1 << 63) - 1


def run_on_workers(draft: Draft[MapSink]) -> None:
    """Have the function of a batch called without arguments, and wait; raises the first failure."""
    try:
        draft.append(single_column(0, pickle_call(())))
        draft.close()
        results, failed = draft.sink.collect()
    except BaseException:
        draft.give_up()
        raise
    draft.forget()
    if failed:
        raise results[0]
