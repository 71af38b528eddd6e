"""Classes that no other process can import: each is one class in each process, however often it comes.

The process that has defined it keeps it as it is: what comes back is of this class, and changes nothing about it. Any
other process has a copy of it, which is as it was sent last.
"""

import enum
import typing
from collections.abc import Callable
from typing import Any
from weakref import WeakSet, WeakValueDictionary

#: those that were sent, and the copies that were made here, by their name on the way
_known: "WeakValueDictionary[str, type]" = WeakValueDictionary()
_copies: "WeakSet[type]" = WeakSet()

_SetState = Callable[[type, Any], object]


def class_by_value(value: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """What another process is to make the class of; `reduced` is what cloudpickle would have it do.

    It would change the class itself where that is defined, and leave out of copies that they have no `__dict__`.
    """
    make, arguments, state, _, _, set_state = reduced
    name, extra = arguments[-2:]
    _known.setdefault(name, value)
    slots = value.__dict__.get("__slots__")
    if slots is not None and not issubclass(value, enum.Enum) and typing.NamedTuple not in arguments[2]:
        kind, title, bases, content = arguments[:-2]
        arguments = (kind, title, bases, {**content, "__slots__": slots}, name, extra)
    return _class_again, (make, *arguments), (set_state, state), None, None, _set_state_of_copy


def _class_again(make: Callable[..., type], *arguments: Any) -> type:
    name = arguments[-2]
    known = _known.get(name)
    if known is None:
        known = _known[name] = make(*arguments)
        _copies.add(known)
    return known


def _set_state_of_copy(value: type, state: tuple[_SetState, Any]) -> None:
    if value in _copies:
        set_state, content = state
        set_state(value, content)
