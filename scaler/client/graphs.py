"""Graphs of calls: which nodes are needed, in which order, and what is wrong with a graph, told before anything runs.

A graph maps keys to data or to a tuple of a callable and its arguments, of which those that are keys stand for the
values of these nodes. dask's graphs hold nodes of its own, see `dask_graphs`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.errors import GraphError

Graph = Mapping[Hashable, Any]
#: a function, its arguments, to a future of its result
Submit = Callable[[Callable[..., Any], tuple[Any, ...]], ScalerFuture]


def submit_graph(submit: Submit, graph: Graph, keys: Iterable[Hashable]) -> dict[Hashable, Any]:
    """Submit all calls that the keys need; the values of the keys in their order, futures where they are calls."""
    wanted = list(keys)
    unknown = [key for key in wanted if not is_key(graph, key)]
    if unknown:
        hint = f"; {keys!r} is one key, so say [{keys!r}]" if is_key(graph, keys) else ""
        raise GraphError(f"the graph has no {', '.join(map(repr, unknown[:5]))}: it has {len(graph)} other keys{hint}")
    values: dict[Hashable, Any] = {}
    for key in in_order(lambda key: needs_of(graph, graph[key]), wanted):
        node = graph[key]
        if not is_call(node):
            values[key] = node
            continue
        function, *arguments = node
        filled = tuple(values[argument] if is_key(graph, argument) else argument for argument in arguments)
        values[key] = submit(function, filled)
    return {key: values[key] for key in wanted}


def is_call(node: Any) -> bool:
    """Whether a node is run; else it is data."""
    return type(node) is tuple and bool(node) and callable(node[0])


def is_key(graph: Graph, argument: Any) -> bool:
    """Whether an argument names a node; whatever cannot be hashed does not."""
    try:
        return argument in graph
    except TypeError:
        return False


def needs_of(graph: Graph, node: Any) -> list[Hashable]:
    """The keys among the arguments of a node."""
    return [argument for argument in node[1:] if is_key(graph, argument)] if is_call(node) else []


def in_order(needs: Callable[[Hashable], Iterable[Hashable]], keys: Iterable[Hashable]) -> list[Hashable]:
    """All nodes that the keys need, each behind those it needs itself; `GraphError` names a cycle."""
    found: dict[Hashable, list[Hashable]] = {}
    left = list(keys)
    while left:
        key = left.pop()
        if key not in found:
            found[key] = list(needs(key))
            left += found[key]
    try:
        return list(TopologicalSorter(found).static_order())
    except CycleError as error:
        cycle = " is needed by ".join(map(repr, error.args[1]))
        raise GraphError(f"the graph has a cycle: {cycle}") from None
