"""Where in a value the part is that cannot be pickled: told as a path of attributes, keys and indices."""

import functools
import inspect
import reprlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from scaler.errors import DeserializeObjectError, SerializationError
from scaler.payload.pickling import PROTOCOL, dumps
from scaler.protocol.columns import MAX_VALUE_BYTES

MAX_DEPTH = 8
MAX_PARTS = 1000
#: what to do about what a worker cannot import, and about what a client cannot
FOR_WORKERS = (
    "workers must be able to import what the client imports: install it for them, or name its folder by "
    "'scaler_worker --python-path' or in PYTHONPATH"
)
FOR_CLIENTS = "it has to be installed here as for the workers, or its folder named in PYTHONPATH"
#: as bytes that are too large are told of
TOO_LARGE = (
    f"no more than {MAX_VALUE_BYTES >> 20:,} MiB can be sent at once; pass it in parts, or the name of a file that "
    "both sides can read"
)
#: how pickle says that a module has another content than where the value comes from
_NOT_IN_MODULE = "Can't get attribute"


def not_loadable(what: str, error: BaseException, remedy: str = FOR_WORKERS) -> DeserializeObjectError:
    """Bytes that cannot be unpickled in this process: why, and the remedy where an import is what is wrong."""
    text = f"{what} cannot be loaded here: {type(error).__name__}: {error}"
    is_import = isinstance(error, ImportError) or str(error).startswith(_NOT_IN_MODULE)
    return DeserializeObjectError(f"{text}; {remedy}" if is_import else text)


def too_large(what: str, size_bytes: int) -> SerializationError:
    """Bytes that no message has room for, and what to do instead."""
    return SerializationError(f"{what} has {size_bytes:,} bytes when pickled: {TOO_LARGE}")


def unpicklable_path(value: Any, path: str, error: BaseException) -> str:  # Any: any value at all
    """`path` extended to the smallest part found that cannot be pickled, and why; the error's own text if none is."""
    for _ in range(MAX_DEPTH):
        culprit = _first_unpicklable(value, path)
        if culprit is None:
            break
        value, path, error = culprit
    return f"{path}: {error}" if str(error) else f"{path}: {type(error).__name__}"


def _first_unpicklable(value: Any, path: str) -> tuple[Any, str, BaseException] | None:
    try:
        for name, part in islice(_parts(value), MAX_PARTS):
            try:
                dumps(part)
            except Exception as error:  # noqa: BLE001  # whatever a __reduce__ raises is the answer looked for
                return part, path + name, error
    except Exception:  # noqa: BLE001  # a value that does not even show its parts is itself the answer
        return None
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"'s key {reprlib.repr(key)}", key) for key in value)
        yield from ((f"[{reprlib.repr(key)}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f"'s element {reprlib.repr(part)}", part) for part in value)
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from ((f".keywords[{key!r}]", part) for key, part in value.keywords.items())
    elif inspect.ismethod(value):
        yield ".__self__", value.__self__
    elif inspect.isfunction(value):
        yield from _parts_of_function(value)
    elif not inspect.isclass(value):
        yield from _parts_of_state(value)


def _parts_of_function(function: Any) -> Iterator[tuple[str, Any]]:
    found = inspect.getclosurevars(function)
    yield from ((f"'s variable {name}", part) for name, part in found.nonlocals.items())
    yield from ((f"'s global {name}", part) for name, part in found.globals.items())
    yield from (("'s default", part) for part in function.__defaults__ or ())
    yield from ((f"'s default of {name}", part) for name, part in (function.__kwdefaults__ or {}).items())


def _parts_of_state(value: Any) -> Iterator[tuple[str, Any]]:
    """What the value itself would have pickled, so that what it leaves out is not blamed."""
    reduced = value.__reduce_ex__(PROTOCOL)
    if not isinstance(reduced, tuple):
        return
    arguments, *rest = reduced[1:]
    state = rest[0] if rest else None
    for attributes in state if isinstance(state, tuple) else (state,):
        if isinstance(attributes, dict):
            yield from ((f".{name}", part) for name, part in attributes.items())
    yield from ((f"'s constructor argument {index}", part) for index, part in enumerate(arguments))
