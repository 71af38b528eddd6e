"""What workers run of a dask graph: a node is a callable that takes the values it needs by key."""

from collections.abc import Callable, Mapping
from typing import Any


def run_node(node: Callable[[Mapping[Any, Any]], Any], values: Mapping[Any, Any]) -> Any:  # Any: whatever users compute
    """The value of one node."""
    return node(values)


def finish(finalize: Callable[..., Any], values: Any, extra: tuple[Any, ...]) -> Any:  # Any: as above
    """The result of a dask collection from the values of its keys, as its `__dask_postcompute__` tells."""
    return finalize(values, *extra)
