"""The ways to run a function over many elements: all at once, for later, or as a stream."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from scaler.client.batches import Batches
from scaler.client.futures import ScalerFuture
from scaler.client.kept import KeptResults
from scaler.client.map_future import MapFuture, raise_first
from scaler.client.mapping import Calls
from scaler.client.options import TaskOptions
from scaler.client.partials import unwrapped_calls
from scaler.client.progress import ProgressWish, check_progress, follow, shown
from scaler.client.sinks import MapSink
from scaler.client.stream import Stream, checked_buffersize
from scaler.client.waits import require_may_wait


class Work(NamedTuple):
    """What a user gave: a function, its calls, the options of their tasks, and how to show progress.

    `size` is how many calls there will be, where that is known.
    """

    fn: Callable[..., Any]
    calls: Calls
    given: TaskOptions
    progress: ProgressWish
    size: int | None


def run(batches: Batches, work: Work, *, return_exceptions: bool) -> list[Any]:
    """Send all, wait for all, and return the results in order."""
    require_may_wait("map")
    check_progress(work.progress)
    batches.require_open()
    fn, calls = unwrapped_calls(work.fn, work.calls, batches.lift)
    draft = batches.draft(fn, work.given, MapSink)
    try:
        with shown(work.progress, draft.name, functools.partial(draft.tally, work.size)):
            draft.append_all(batches.carried(calls))
            results, failed = draft.sink.collect()
    except BaseException:
        draft.give_up()
        raise
    draft.forget()
    if not return_exceptions:
        raise_first(results, failed)
    return results


def keep(batches: Batches, work: Work, kind: type[ScalerFuture] = ScalerFuture) -> KeptResults:
    """Send all, and return what keeps the results, and makes futures of this kind of them."""
    check_progress(work.progress)
    batches.require_open()
    fn, calls = unwrapped_calls(work.fn, work.calls, batches.lift)
    draft = batches.draft(fn, work.given, lambda batch, name: KeptResults(batch, batches.io, name, kind))
    follow(work.progress, draft.name, functools.partial(draft.tally, work.size), draft.sink.wait)
    try:
        draft.append_all(batches.carried(calls))
    except BaseException:
        draft.sink.clear()
        raise
    finally:
        draft.sink.complete()
    return draft.sink


def promised(
    batches: Batches,
    work: Work,
    callback: Callable[[list[Any]], object] | None,
    error_callback: Callable[[BaseException], object] | None,
    *,
    return_exceptions: bool,
) -> MapFuture:
    """Send all, and return the futures of all; one of the callbacks is called once they are done."""
    found = MapFuture(keep(batches, work), return_exceptions=return_exceptions)
    found.call_back(callback, error_callback)
    return found


def stream(
    batches: Batches, owner: object, work: Work, buffersize: int | None, *, in_order: bool, return_exceptions: bool
) -> Stream:
    """Send as much as is taken; the stream keeps its owner, the client, from leaving."""
    check_progress(work.progress)
    batches.require_open()
    fn, calls = unwrapped_calls(work.fn, work.calls, batches.lift)
    elements, as_calls = batches.carried(calls)
    ahead, drawn = checked_buffersize(buffersize), iter(elements)
    draft = batches.draft(fn, work.given, MapSink)
    bar = shown(work.progress, draft.name, functools.partial(draft.tally, work.size))
    return Stream(owner, draft, drawn, as_calls, ahead, bar, in_order=in_order, return_exceptions=return_exceptions)
