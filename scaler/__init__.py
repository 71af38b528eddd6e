"""Run Python functions a million times, or on a thousand machines: a scheduler, workers, and the client to both.

Public names are loaded when they are first used, so that `import scaler` costs next to nothing. Nothing else is
imported here: while our commands are being loaded Ctrl-C is still Python's own, and shows where it struck.

PYTEST_DONT_REWRITE: since we bring a plugin, pytest would complain of programs that have imported this before it runs.
"""

#: as type checkers know it, without the module of that name
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from scaler.client.client import Client as Client
    from scaler.client.facts import ProfilingInfo as ProfilingInfo
    from scaler.client.futures import ScalerFuture as ScalerFuture
    from scaler.client.map_future import MapFuture as MapFuture
    from scaler.client.objects import ObjectReference as ObjectReference
    from scaler.client.waiting import as_completed as as_completed
    from scaler.client.waiting import gather as gather
    from scaler.client.waiting import wait as wait
    from scaler.cluster.combo import SchedulerClusterCombo as SchedulerClusterCombo
    from scaler.payload.custom import Serializer as Serializer

__version__ = "0.1.0"

_HOMES = {
    "Client": "scaler.client.client",
    "MapFuture": "scaler.client.map_future",
    "ObjectReference": "scaler.client.objects",
    "ProfilingInfo": "scaler.client.facts",
    "ScalerFuture": "scaler.client.futures",
    "as_completed": "scaler.client.waiting",
    "gather": "scaler.client.waiting",
    "wait": "scaler.client.waiting",
    "SchedulerClusterCombo": "scaler.cluster.combo",
    "Serializer": "scaler.payload.custom",
}

__all__ = [
    "Client",
    "MapFuture",
    "ObjectReference",
    "ProfilingInfo",
    "ScalerFuture",
    "SchedulerClusterCombo",
    "Serializer",
    "as_completed",
    "gather",
    "wait",
]


def __getattr__(name: str) -> "Any":  # Any: whichever public name is asked for
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'scaler' has no attribute {name!r}")
    import importlib  # noqa: PLC0415  # see above

    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
