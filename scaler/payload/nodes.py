"""What workers run of a dask graph: a node is a callable that takes the values it needs by key."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: the key of a node, and the node
Node = tuple[Any, Callable[[Mapping[Any, Any]], Any]]  # Any: whatever users compute, here and below


def run_nodes(nodes: Sequence[Node], values: Mapping[Any, Any]) -> Any:
    """The value of the last of these nodes; each may need the values of those before it."""
    known = dict(values)
    for key, node in nodes:
        known[key] = node(known)
    return known[nodes[-1][0]]


def finish(finalize: Callable[..., Any], values: Any, extra: tuple[Any, ...]) -> Any:
    """The result of a dask collection from the values of its keys, as its `__dask_postcompute__` tells."""
    return finalize(values, *extra)
