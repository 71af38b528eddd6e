"""Calls whose first arguments are keywords: what a partial brings by name goes with every call like the others."""

from collections.abc import Callable
from typing import Any

from scaler.payload.functions import function_name


class Keyworded:
    """A function that takes the values of some keywords before its arguments."""

    def __init__(self, function: Callable[..., Any], names: tuple[str, ...]) -> None:
        self.__qualname__ = function_name(function)
        self._function = function
        self._names = names

    def __reduce__(self) -> tuple[Any, ...]:
        return Keyworded, (self._function, self._names)

    def __call__(self, /, *values: Any, **others: Any) -> Any:  # Any: the users' values
        """Call it."""
        count = len(self._names)
        return self._function(*values[count:], **dict(zip(self._names, values[:count], strict=True)), **others)
