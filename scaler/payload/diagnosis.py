"""Where in a value the part is that cannot be pickled: told as a path of attributes, keys and indices."""

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import cloudpickle

MAX_DEPTH = 8
MAX_PARTS = 200


def unpicklable_path(
    value: Any, path: str, error: BaseException
) -> str:  # Any: any value at all
    """`path` extended to the smallest part found that cannot be pickled, and why; the error's own text if none is."""
    for _ in range(MAX_DEPTH):
        culprit = _first_unpicklable(value, path)
        if culprit is None:
            break
        value, path, error = culprit
    return f"{path}: {error}"


def _first_unpicklable(value: Any, path: str) -> tuple[Any, str, BaseException] | None:
    for number, (name, part) in enumerate(_parts(value)):
        if number >= MAX_PARTS:
            return None
        try:
            cloudpickle.dumps(part)
        except Exception as error:  # noqa: BLE001  # whatever a __reduce__ raises is the answer looked for
            return part, path + name, error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from (
            (f".keywords[{key!r}]", part) for key, part in value.keywords.items()
        )
    elif inspect.ismethod(value):
        yield ".__self__", value.__self__
    elif inspect.isfunction(value):
        found = inspect.getclosurevars(value)
        yield from (
            (f"'s variable {name}", part) for name, part in found.nonlocals.items()
        )
        yield from ((f"'s global {name}", part) for name, part in found.globals.items())
    else:
        yield from (
            (f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()
        )
