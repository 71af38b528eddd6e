"""Futures among the arguments of a call: they are left out of its bytes, and put in by the worker as what they became.

While a call is pickled by `collecting`, a future says by `stand_in` what stands for it. A worker opens the call with
`opener`, which has the values that the scheduler sent along.
"""

import contextlib
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

from scaler.protocol.columns import Frame
from scaler.protocol.inputs import Inputs


class Found:
    """The futures in a call, in the order in which its bytes speak of them."""

    def __init__(self) -> None:
        self._positions: dict[int, int] = {}
        self._futures: list[Any] = []

    def position(self, future: Any) -> int:  # Any: futures are the client's
        """Which of them a future is; it is one of them from now on."""
        at = self._positions.get(id(future))
        if at is None:
            at = self._positions[id(future)] = len(self._futures)
            self._futures.append(future)
        return at

    def take(self) -> tuple[Any, ...]:
        """Those of the call just pickled; the next one begins anew."""
        if not self._futures:
            return ()
        futures = tuple(self._futures)
        self._positions.clear()
        self._futures.clear()
        return futures


class _Here(threading.local):
    found: Found | None = None
    input: Callable[[int], Any] | None = None


_here = _Here()


@contextlib.contextmanager
def collecting() -> Iterator[Found]:
    """Take in the futures of what this thread pickles meanwhile."""
    before, _here.found = _here.found, Found()
    try:
        yield _here.found
    finally:
        _here.found = before


def stand_in(future: Any) -> tuple[Any, ...]:  # Any: as above
    """What `__reduce__` of a future that is not done returns while a call is pickled."""
    return _input, (_found().position(future),)


def stand_in_for_value(value: Any) -> tuple[Any, ...]:  # Any: as above
    """The same for one whose value is here."""
    _found()
    return _itself, (value,)


def stand_in_for_pickled(data: bytes) -> tuple[Any, ...]:
    """The same for one whose value is here and was not unpickled yet."""
    _found()
    return pickle.loads, (data,)


def _found() -> Found:
    if _here.found is None:
        raise TypeError("a future cannot be pickled, other than among the arguments of a call; pass its result()")
    return _here.found


def opener(inputs: Inputs) -> Callable[[Frame], Any]:  # Any: the users' values
    """Unpickles consecutive calls, each with its inputs; asked once for every call, in their order."""
    needs = iter(inputs.needs)

    def open_call(data: Frame) -> Any:  # Any: as above
        need = next(needs)
        opened: dict[int, Any] = {}

        def value(position: int) -> Any:  # Any: as above
            if position not in opened:
                opened[position] = pickle.loads(inputs.values[need[position]])  # noqa: S301  # as arguments are
            return opened[position]

        before, _here.input = _here.input, value
        try:
            return pickle.loads(data)  # noqa: S301  # the scheduler let only our own keys in
        finally:
            _here.input = before

    return open_call


def _input(position: int) -> Any:  # Any: as above
    if _here.input is None:
        raise RuntimeError("the inputs of a call are known only while it is opened by its worker")
    return _here.input(position)


def _itself(value: Any) -> Any:  # Any: as above
    return value
