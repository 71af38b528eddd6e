"""Partials some of whose own values are arguments of each call: the others stay with the function."""

from collections.abc import Callable
from typing import Any

from scaler.payload.functions import function_name


class Filled:
    """A function that takes the values of some places and keywords before its arguments, and has those of others."""

    #: for who looks for the function within
    is_filled = True

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        places: tuple[int | str, ...],
    ) -> None:
        self.__qualname__ = function_name(func)
        self.func = func
        self._args = args
        self._keywords = keywords
        self._places = places

    @property
    def own(self) -> tuple[Any, ...]:  # Any: the users' values
        """What it has of its own."""
        return (*self._args, *self._keywords.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return Filled, (self.func, self._args, self._keywords, self._places)

    def __call__(self, /, *values: Any, **others: Any) -> Any:  # Any: the users' values
        """Call it."""
        args, keywords = list(self._args), dict(self._keywords)
        for place, value in zip(self._places, values, strict=False):
            if isinstance(place, int):
                args[place] = value
            else:
                keywords[place] = value
        return self.func(*args, *values[len(self._places) :], **{**keywords, **others})
