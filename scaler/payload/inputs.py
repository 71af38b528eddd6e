"""Futures among the arguments of a call: they are left out of its bytes, and put in by the worker as what they became.

While a call is pickled within a `Found`, a future says by `stand_in` what stands for it. A worker opens the call with
an `Opener`, which has the values that the scheduler sent along.
"""

import pickle
import threading
from collections.abc import Callable
from typing import Any, Protocol, Self

from scaler.errors import ObjectLostError, SerializationError
from scaler.payload.parts import freeze, load_parts
from scaler.protocol.columns import Frame
from scaler.protocol.inputs import MAX_INPUTS, Inputs
from scaler.protocol.layout import is_laid_out, parts_in
from scaler.protocol.references import is_record
from scaler.resources import INLINE_BYTES


class Inline:
    """What is small, in this process: other values lie in a store.

    A value that is here goes in the bytes of each call that needs it up to this size, else beside them and once; a
    result goes to its client as it is below that.
    """

    def __init__(self) -> None:
        self.most_bytes = INLINE_BYTES


inline = Inline()


class Found:
    """The futures in what this thread pickles within it, in the order in which its bytes speak of them."""

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}
        self._futures: list[Any] = []
        self._before: Found | None = None

    def __enter__(self) -> Self:
        self._before, _here.found = _here.found, self
        return self

    def __exit__(self, *_: object) -> None:
        _here.found = self._before

    def position(self, future: Any) -> int:  # Any: futures are the client's
        """Which of them a future is; it is one of them from now on."""
        at = self._positions.get(id(future))
        if at is None:
            at = self._positions[id(future)] = len(self._futures)
            self._futures.append(future)
        return at

    def take(self) -> tuple[Any, ...]:
        """Those of the call just pickled; the next one begins anew. `SerializationError` if there are too many."""
        if not self._futures:
            return ()
        futures = tuple(self._futures)
        if len(futures) > MAX_INPUTS:
            text = f"it needs {len(futures)} futures, more than {MAX_INPUTS}: join them in steps"
            raise SerializationError(f"the call cannot be sent: {text}")
        self.forget()
        return futures

    def forget(self) -> None:
        """The next call begins anew."""
        self._positions.clear()
        self._futures.clear()


class _Here(threading.local):
    found: Found | None = None
    input: Callable[[int], Any] | None = None


_here = _Here()


def stand_in(future: Any) -> tuple[Any, ...]:  # Any: as above
    """What `__reduce__` of a future returns, while a call is pickled, whose value is not in the call's own bytes."""
    return _input, (_found().position(future),)


def stand_in_for_value(value: Any) -> tuple[Any, ...]:  # Any: as above
    """The same for one whose value is."""
    _found()
    return itself, (value,)


def stand_in_for_pickled(data: bytes) -> tuple[Any, ...]:
    """The same for one whose value is, and was not unpickled yet."""
    _found()
    return value_in, (data,)


def _found() -> Found:
    if _here.found is None:
        raise TypeError(
            "futures cannot be pickled, other than among the arguments of a call; pass what result() or get() returns"
        )
    return _here.found


class Objects(Protocol):
    """Brings the inputs of calls that lie in a store."""

    def fetch(self, record: Frame) -> Any:  # Any: as above
        """The value that a record stands for."""
        ...

    def is_open(self) -> None:
        """A call has all it needs."""
        ...


class Nowhere:
    """Brings none: what this process opens has no objects."""

    def fetch(self, record: Frame) -> Any:  # Any: as above
        """Nothing."""
        raise ObjectLostError(f"{len(record)} bytes stand for an object, of which this process knows nothing")

    def is_open(self) -> None:
        """Nothing was needed."""


class Opener:
    """Unpickles the calls of a ticket, each with its inputs."""

    def __init__(self, inputs: Inputs, objects: Objects | None = None) -> None:
        self._inputs = inputs
        self._objects = Nowhere() if objects is None else objects

    def open(self, number: int, data: Frame) -> Any:  # Any: the users' values
        """The call with this number, from its bytes."""
        need, values = self._inputs.needs[number], self._inputs.values

        def value(position: int) -> Any:  # Any: as above
            data = values[need[position]]
            if is_record(data):
                return self._objects.fetch(data)
            return load_parts(parts_in(data)) if is_laid_out(data) else value_in(data)

        try:
            _here.input = value
            call = pickle.loads(data)  # noqa: S301  # the scheduler let only our own keys in
            self._objects.is_open()
            return call
        finally:
            _here.input = None


def _input(position: int) -> Any:  # Any: as above
    if _here.input is None:
        raise RuntimeError("the inputs of a call are known only while it is opened by its worker")
    return _here.input(position)


def value_in(data: Frame) -> Any:  # Any: as above
    """The small value that is pickled so, as tasks have it."""
    return freeze(pickle.loads(data))  # noqa: S301  # as arguments are


def itself(value: Any) -> Any:  # Any: as above
    """What a value that lies in the bytes of a call is opened by."""
    return value
