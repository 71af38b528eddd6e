"""`get` and `compute`: whole graphs and collections, each node a task, with options for all of them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from scaler.client import dask_graphs
from scaler.client.batches import Batches
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import submit_graph
from scaler.client.objects import ObjectReference
from scaler.client.options import TaskOptions


def get(batches: Batches, graph: Any, keys: Any, given: TaskOptions, *, block: bool) -> Any:  # Any: see `Client.get`
    """The values of the keys of a graph, or their futures."""
    submit = functools.partial(_submit, batches, given)
    if not isinstance(graph, Mapping) and not hasattr(graph, "__dask_graph__"):
        raise TypeError(f"get takes a graph, which maps keys to data or to calls, not {type(graph).__name__}")
    if dask_graphs.is_dask(graph, keys):
        futures = dask_graphs.submit_keys(submit, graph, keys)
        return dask_graphs.results(futures) if block else futures
    found = submit_graph(submit, graph, keys)
    if not block:
        return {key: one if isinstance(one, ScalerFuture) else submit(_itself, (one,)) for key, one in found.items()}
    return {key: _value(one) for key, one in found.items()}


def _value(one: Any) -> Any:  # Any: what stands for a key
    if isinstance(one, ScalerFuture):
        return one.result()
    return one.value() if isinstance(one, ObjectReference) else one


def compute(
    batches: Batches, collections: tuple[Any, ...], given: TaskOptions, *, sync: bool, optimize_graph: bool
) -> Any:  # Any: see `Client.compute`
    """The future of the result of a dask collection, or a list of them for several; or these results."""
    submit = functools.partial(_submit, batches, given)
    is_one = len(collections) == 1
    if is_one and isinstance(collections[0], (list, tuple, set, frozenset)):
        is_one, collections = False, tuple(collections[0])
    made = dask_graphs.submit_collections(submit, collections, optimize_graph=optimize_graph)
    if is_one and not isinstance(made[0], ScalerFuture):
        raise TypeError(f"{type(made[0]).__name__} is no dask collection")
    if sync:
        made = [one.result() if isinstance(one, ScalerFuture) else one for one in made]
    return made[0] if is_one else made


def expect_dask_graphs() -> None:
    """Dask is about to make a graph to be run here."""
    dask_graphs.shuffle_by_tasks()


def _submit(batches: Batches, given: TaskOptions, fn: Callable[..., Any], args: tuple[Any, ...]) -> ScalerFuture:
    return batches.submit(fn, args, {}, given, is_node=True)


def _itself(value: Any) -> Any:  # Any: data of a graph
    return value
