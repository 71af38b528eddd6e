"""dask's graphs and collections: `dask.config.set(scheduler=client)` and `client.compute`. dask is imported when used.

By dask's own rules a scheduler is given a graph, or something that makes one, and keys in lists of any depth, and
returns values in the same lists.
"""

from collections.abc import Callable, Hashable, Mapping
from types import ModuleType
from typing import Any

from scaler.client.fusion import fused
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import Graph, Submit, in_order
from scaler.errors import ConfigurationError, GraphError
from scaler.payload.nodes import finish, run_nodes


def is_dask(graph: Any, keys: Any) -> bool:  # Any: whatever was given to `get`
    """Whether a graph is one of dask's: something that makes one, one with dask's nodes, or one asked for by lists."""
    if hasattr(graph, "__dask_graph__") or any(isinstance(key, list) for key in keys):
        return True
    return any(type(node).__module__.partition(".")[0] == "dask" for node in graph.values())


def submit_keys(submit: Submit, graph: Any, keys: Any) -> Any:  # Any: dask has no types
    """Submit what the keys need; futures in the same lists as the keys."""
    nodes = _nodes(graph)
    wanted = list(_flat(keys))
    needs = {key: _needs(nodes, key) for key in in_order(lambda key: _needs(nodes, key), wanted)}
    futures: dict[Hashable, ScalerFuture] = {}
    for fusion in fused(list(needs), needs, wanted):
        values = {needed: futures[needed] for key in fusion for needed in needs[key] if needed in futures}
        futures[fusion[-1]] = submit(run_nodes, ([(key, nodes[key]) for key in fusion], values))
    return _in_lists(keys, futures.__getitem__)


def submit_collections(submit: Submit, collections: tuple[Any, ...], *, optimize_graph: bool) -> list[ScalerFuture]:
    """Submit what dask collections need; a future of the result of each."""
    base = _dask("dask.base")
    unfit = [one for one in collections if not base.is_dask_collection(one)]
    if unfit:
        raise TypeError(f"{type(unfit[0]).__name__} is no dask collection")
    if optimize_graph:
        collections = base.optimize(*collections)
    futures = []
    for one in collections:
        finalize, extra = one.__dask_postcompute__()
        values = submit_keys(submit, one, one.__dask_keys__())
        futures.append(submit(finish, (finalize, values, extra)))
    return futures


def results(futures: Any) -> Any:  # Any: as above
    """The results in the same lists."""
    return _in_lists(futures, lambda future: future.result())


def _nodes(graph: Any) -> Mapping[Hashable, Any]:
    made = graph.__dask_graph__() if hasattr(graph, "__dask_graph__") else graph
    nodes: Graph = _dask("dask._task_spec").convert_legacy_graph(dict(made))
    return nodes


def _needs(nodes: Mapping[Hashable, Any], key: Hashable) -> list[Hashable]:
    if key not in nodes:
        raise GraphError(f"the graph has no {key!r}")
    return list(nodes[key].dependencies)


def _flat(keys: Any) -> Any:
    if isinstance(keys, list):
        for key in keys:
            yield from _flat(key)
    else:
        yield keys


def _in_lists(keys: Any, value: Callable[[Any], Any]) -> Any:
    return [_in_lists(key, value) for key in keys] if isinstance(keys, list) else value(keys)


def _dask(name: str) -> ModuleType:
    from importlib import import_module  # noqa: PLC0415  # an optional package

    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigurationError(f"dask is not installed ({error}): pip install 'scaler[dask]'") from None
