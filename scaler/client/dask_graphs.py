"""dask's graphs and collections: `dask.config.set(scheduler=client)` and `client.compute`. dask is imported when used.

By dask's own rules a scheduler is given a graph, or something that makes one, and keys in lists of any depth, and
returns values in the same lists.
"""

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import ModuleType
from typing import Any

from scaler.client.fusion import fused
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import Graph, Submit, in_order
from scaler.errors import ConfigurationError, GraphError
from scaler.payload.nodes import run_nodes

_SHUFFLE = "dataframe.shuffle.method"
#: how the keys begin under which dask's graphs have the files that a shuffle goes through
_FILES = ("zpartd-", "partd-")


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
    _refuse_files(needs)
    futures: dict[Hashable, ScalerFuture] = {}
    for fusion in fused(list(needs), needs, wanted):
        values = {needed: futures[needed] for key in fusion for needed in needs[key] if needed in futures}
        futures[fusion[-1]] = submit(run_nodes, ([(key, nodes[key]) for key in fusion], values))
    return _in_lists(keys, futures.__getitem__)


def submit_collections(submit: Submit, collections: tuple[Any, ...], *, optimize_graph: bool) -> list[Any]:
    """Submit what dask collections need; a future of the result of each, what is no collection as it is."""
    dask = _dask("dask")
    shuffle_by_tasks()
    fit = [dask.delayed(one) if isinstance(one, (list, tuple, set, dict)) else one for one in collections]

    def submitted(graph: Any, keys: Any, **_: Any) -> Any:  # Any: as above
        return submit_keys(submit, graph, keys)

    # what dask takes for results and puts in the places of the collections are our futures
    return list(dask.compute(*fit, traverse=False, optimize_graph=optimize_graph, scheduler=submitted))


def shuffle_by_tasks() -> None:
    """Have data frames shuffled by tasks where the user has not said how: dask's own way is by files on one machine."""
    config = sys.modules.get("dask.config")
    if config is not None and config.get(_SHUFFLE, None) is None:
        config.set({_SHUFFLE: "tasks"})


def _refuse_files(keys: Iterable[Hashable]) -> None:
    """`GraphError` for a graph that shuffles by files, which other machines do not see."""
    for key in keys:
        if isinstance(key, tuple) and key and isinstance(key[0], str) and key[0].startswith(_FILES):
            raise GraphError(
                "the graph shuffles by files on the disk of one machine, which workers of others do not see, and rows "
                f'would be lost: make it anew after dask.config.set({{"{_SHUFFLE}": "tasks"}})'
            )


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
