"""`get` and `compute`: whole graphs and collections, each node a task, with options for all of them."""

import functools
from collections.abc import Callable
from typing import Any

from scaler.client import dask_graphs
from scaler.client.batches import Batches
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import submit_graph
from scaler.client.options import TaskOptions


def get(batches: Batches, graph: Any, keys: Any, given: TaskOptions, *, block: bool) -> Any:  # Any: see `Client.get`
    """The values of the keys of a graph, or their futures."""
    submit = functools.partial(_submit, batches, given)
    if dask_graphs.is_dask(graph, keys):
        futures = dask_graphs.submit_keys(submit, graph, keys)
        return dask_graphs.results(futures) if block else futures
    found = submit_graph(submit, graph, keys)
    if not block:
        return {key: one if isinstance(one, ScalerFuture) else submit(_itself, (one,)) for key, one in found.items()}
    return {key: one.result() if isinstance(one, ScalerFuture) else one for key, one in found.items()}


def compute(
    batches: Batches, collections: tuple[Any, ...], given: TaskOptions, *, optimize_graph: bool
) -> ScalerFuture | list[ScalerFuture]:
    """The future of the result of a dask collection, or a list of them for several."""
    submit = functools.partial(_submit, batches, given)
    futures = dask_graphs.submit_collections(submit, collections, optimize_graph=optimize_graph)
    return futures[0] if len(futures) == 1 else futures


def _submit(batches: Batches, given: TaskOptions, fn: Callable[..., Any], args: tuple[Any, ...]) -> ScalerFuture:
    return batches.submit(fn, args, {}, given)


def _itself(value: Any) -> Any:  # Any: data of a graph
    return value
