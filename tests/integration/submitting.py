"""Calls with options, as a client makes them whose `submit` knows the option."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from scaler import Client, ScalerFuture
from scaler.payload.calls import pickle_call
from scaler.payload.functions import pickle_function
from scaler.protocol import BatchOptions
from scaler.resources import resources_from


def submit(
    client: Client,
    fn: Callable[..., Any],
    *args: Any,
    resources: dict[str, float] | None = None,
    retries: int = 0,
    timeout: float | None = None,
) -> ScalerFuture:
    """One call that asks for these resources, may be run again so often, and may take so long."""
    if "resources" in signature(Client.submit).parameters:
        asked: dict[str, Any] = {"resources": resources, "retries": retries, "timeout": timeout}
        return client.submit(fn, *args, **asked)
    function = pickle_function(fn)
    options = BatchOptions(function.name, resources=resources_from(resources), retries=retries, timeout_s=timeout)
    with client._io.lock:
        sink = client._open_sink(function, options)
        index, future = sink.add()
        client._io.post_call(sink.batch, index, pickle_call(args))
    return future
