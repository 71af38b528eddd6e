"""Values to parts and back: a pickle, and beside it the buffers of arrays, which are used where they lie.

What is opened so cannot be written to; whoever wants to change an array copies it.
"""

import pickle
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Any

from scaler.errors import SerializationError
from scaler.payload.diagnosis import unpicklable_path
from scaler.payload.pickling import LEAST_BUFFER_BYTES, PROTOCOL, dumps_beside
from scaler.protocol.columns import Frame

#: what is one buffer as it is
_WHOLE = frozenset((bytes, bytearray, str))


class _Whole:
    """Bytes or text as one buffer, which the pickle has not to copy."""

    def __init__(self, value: bytes | bytearray | str) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._value, str):
            return str, (PickleBuffer(self._value.encode("utf-8", "surrogatepass")), "utf-8", "surrogatepass")
        return type(self._value), (PickleBuffer(self._value),)


class Frozen:
    """An array that cannot be written to where it is opened, though it has no buffer of its own there."""

    def __init__(self, array: Any) -> None:  # Any: NumPy's
        self._array = array

    def __reduce__(self) -> Any:
        array = self._array
        if array.dtype.kind in "mM":  # of which no buffer can be had
            return _as_times, (array.view("i8"), array.dtype.str)
        view = array.view() if array.flags.forc else array.copy(order="K")
        view.flags.writeable = False
        return view.__reduce_ex__(PROTOCOL)


class Owned:
    """An array that can be written to where it is opened, though it cannot be here."""

    def __init__(self, array: Any) -> None:  # Any: NumPy's
        self._array = array

    def __reduce__(self) -> Any:
        return _writable(self._array).__reduce_ex__(PROTOCOL)


def _writable(array: Any) -> Any:  # Any: as above
    """A view or a copy of an array that says that it can be written to; nobody does."""
    if array.nbytes <= LEAST_BUFFER_BYTES or not array.flags.forc:
        return array.copy(order="K")
    import ctypes  # noqa: PLC0415  # few results need it

    content = (ctypes.c_ubyte * array.nbytes).from_address(array.ctypes.data)
    content.array = array  # it lives as long as whoever reads it
    return type(array)(array.shape, array.dtype, content, strides=array.strides)


def owned(value: Any) -> Owned | None:  # Any: whatever a task returns
    """What is pickled in the place of an array that cannot be written to: results are the caller's own."""
    if is_array(value) and not value.flags.writeable and value.dtype.kind not in "OmM" and not value.dtype.hasobject:
        return Owned(value)
    return None


def _as_times(numbers: Any, dtype: str) -> Any:  # Any: as above
    return numbers.view(dtype)


def frozen(value: Any) -> Frozen | None:  # Any: whatever users send
    """What is pickled in the place of an array of NumPy's, so that small ones are as large ones; None for others."""
    array = array_of(value)
    return Frozen(array) if array is not None and not array.dtype.hasobject else None


def array_of(value: Any) -> Any:  # Any: as above
    """An array of NumPy's as it is, one that is mapped from a file as any other; None of what is neither."""
    if is_array(value):
        return value
    kind = type(value)
    is_mapped = kind.__name__ == "memmap" and kind.__module__ == "numpy"
    return value.view(kind.__mro__[1]) if is_mapped else None


def is_array(value: Any) -> bool:  # Any: as above
    """Whether it is an array of NumPy's, and of no class derived from that."""
    kind = type(value)
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy"


def freeze(value: Any) -> Any:  # Any: as above
    """The value itself; an array cannot be written to any more."""
    if is_array(value):
        value.flags.writeable = False
    return value


def dump_parts(value: Any, what: str = "the object") -> tuple[Frame, ...]:  # Any: whatever users send
    """A value in parts; `SerializationError` names what in it cannot be pickled.

    The buffers are the value's own: they are to be written before it changes.
    """
    try:
        return _parts(_Whole(value) if type(value) in _WHOLE else value)
    except Exception as error:
        raise SerializationError(f"{what} cannot be sent: {unpicklable_path(value, what, error)}") from error


def result_parts(value: Any) -> tuple[bytes, list[memoryview]]:  # Any: whatever a task returns
    """The first part of what a task returned, and the others; without others it is a pickle like any.

    Raises whatever its own pickling code raises if there is no way.
    """
    is_whole = type(value) in _WHOLE and len(value) >= LEAST_BUFFER_BYTES
    return dumps_beside(_Whole(value) if is_whole else value, owned)


def _parts(value: Any) -> tuple[Frame, ...]:  # Any: as above
    data, buffers = dumps_beside(value)
    return (data, *buffers)


def load_parts(parts: Sequence[Frame], *, are_ours: bool = False) -> Any:  # Any: whatever was sent
    """The value in parts that are not to change while it is used, unless they `are_ours`: then it may be changed."""
    return pickle.loads(parts[0], buffers=[part if are_ours else _read_only(part) for part in parts[1:]])  # noqa: S301  # only our own keys are in


def _read_only(part: Frame) -> memoryview:
    return memoryview(part).toreadonly()
