"""The options of tasks: what users write beside a call, checked where it is written, made what travels with a batch.

Whatever cannot be meant is one line here, not a failure later: a `TypeError` for the wrong kind of thing or a name that
is no option, a `ValueError` for an amount that cannot be.
"""

import difflib
import math
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypedDict

from msgspec.structs import replace

from scaler.client.signatures import call_shape
from scaler.payload.functions import function_name
from scaler.payload.nested import Task
from scaler.protocol import BatchOptions
from scaler.protocol.connection import LONGEST_LABEL
from scaler.protocol.options import LEAST_AMOUNT, MAX_DEPTH, MOST_RESOURCES
from scaler.resources import MOST_AMOUNT, NO_RESOURCES, Resources, resources_from

ExceptionTypes = tuple[type[BaseException], ...]
Capabilities = Mapping[str, Any]  # Any: an amount, -1 or None
_INTEGERS = 1 << 63
_RETRIES = 2
_MOST_RETRIES = 1 << 31


class TaskOptions(TypedDict, total=False):
    """What can be said of every task, in whatever way it is submitted; see `Client.submit`."""

    tag: str | None
    resources: Mapping[str, float] | None
    priority: int
    retries: int
    retry_on: type[BaseException] | Iterable[type[BaseException]]
    retry_delay_s: float
    timeout: float | None
    name: str | None


class Unset:
    """Stands for an option that was not given, and shows what holds then: so one that was given is always known."""

    __slots__ = ("_default",)

    def __init__(self, default: Any) -> None:
        self._default = default

    def __repr__(self) -> str:
        return repr(self._default)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class Defaults:
    """What holds where nothing is said, as the default of each option in a signature."""

    tag: Any = Unset(None)  # Any: they stand where users write values
    resources: Any = Unset(None)
    priority: Any = Unset(0)
    retries: Any = Unset(_RETRIES)
    retry_on: Any = Unset(())
    retry_delay_s: Any = Unset(1.0)
    timeout: Any = Unset(None)
    name: Any = Unset(None)


OPTIONS = tuple(TaskOptions.__annotations__)
#: options that functions of their own often have too
_COMMON = frozenset(("name", "timeout"))
_UNSET = tuple(getattr(Defaults, name) for name in OPTIONS)


def given_of(*values: Any) -> TaskOptions:
    """Those of the options that were given; `values` are all of them, in the order of `OPTIONS`."""
    if _UNSET == values:  # noqa: SIM300  # in this order no value is asked what it equals
        return {}
    return {  # type: ignore[return-value]  # the names are those of the type
        name: value for name, value in zip(OPTIONS, values, strict=True) if type(value) is not Unset
    }


def look_at_ambiguous(fn: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse options that are the function's own keywords; where it takes any, say once of those that may be."""
    shape, name = call_shape(fn), function_name(fn)
    refuse_ambiguous(name, shape.names, given)
    if shape.takes_all and not shape.was_told and (both := sorted(_COMMON.intersection(given))):
        shape.was_told = True
        warnings.warn(
            f"{name} takes keywords of any name, but {' and '.join(both)} went to submit, as options of the task: "
            f"where the function is to have them, say submit_verbose({name}, args, kwargs)",
            UserWarning,
            stacklevel=3,
        )


def refuse_ambiguous(function_name: str, own: frozenset[str], given: Mapping[str, Any]) -> None:
    """`TypeError` where an option was given that the function has a parameter of its own for."""
    for name in OPTIONS:
        if name in own and name in given:
            raise TypeError(
                f"{function_name} has a parameter of its own called {name!r}, and submit has an option of that name: "
                f"say which is meant with submit_verbose({function_name}, args, kwargs, …), where kwargs are the "
                "function's and keywords behind are options"
            )


def with_capabilities(given: TaskOptions, capabilities: Capabilities | None) -> TaskOptions:
    """The options with Scaler's `capabilities` among them: an amount is a resource, one below 0 or None is a tag."""
    if not capabilities:
        return given
    amounts: dict[str, Any] = dict(given.get("resources") or {})  # Any: looked at with the other options
    tags = [tag for tag in [given.get("tag")] if tag is not None]
    for name, amount in capabilities.items():
        if amount is None or (isinstance(amount, numbers.Real) and amount < 0):
            tags.append(name)
        else:
            amounts[name] = amount
    if len(set(tags)) > 1:
        raise ValueError(f"a task has one tag, and these are several: {', '.join(map(repr, tags))}")
    return {**given, "tag": tags[0] if tags else None, "resources": amounts}


def batch_options(function_name: str, given: Mapping[str, Any]) -> BatchOptions:
    """What travels with a batch of a function called so; raises what the module says."""
    if not given:
        return _plain(function_name)
    for name in given:
        if name not in OPTIONS:
            raise TypeError(f"{name!r} is no option of tasks{_hint(name)}")
    timeout = given.get("timeout")
    return BatchOptions(
        name=label_of("name", given.get("name")) or function_name,
        tag=label_of("tag", given.get("tag")),
        resources=_resources(given.get("resources")),
        priority=_integer("priority", given.get("priority", 0), -_INTEGERS, _INTEGERS - 1),
        retries=_integer("retries", given.get("retries", _RETRIES), 0, _MOST_RETRIES),
        retry_delay_s=_seconds("retry_delay_s", given.get("retry_delay_s", 1.0), 0.0),
        timeout_s=None if timeout is None else _seconds("timeout", timeout, math.ulp(0.0)),
    )


@lru_cache(maxsize=1024)
def _plain(function_name: str) -> BatchOptions:
    return BatchOptions(name=function_name, retries=_RETRIES)


def exception_types(given: Mapping[str, Any]) -> ExceptionTypes:
    """The exceptions after which a task runs again: one class or several."""
    retry_on = given.get("retry_on", ())
    found = (retry_on,) if isinstance(retry_on, type) else tuple(retry_on) if isinstance(retry_on, Iterable) else None
    if found is None or not all(isinstance(one, type) and issubclass(one, BaseException) for one in found):
        raise TypeError(f"retry_on must be exception classes, but is {retry_on!r:.100}")
    return found


def _hint(name: str) -> str:
    close = difflib.get_close_matches(name, OPTIONS, 1)
    return f": did you mean {close[0]!r}?" if close else f"; there are {', '.join(OPTIONS)}"


def label_of(option: str, value: object) -> str | None:
    """A text that is told to others, if one was given; `TypeError` or `ValueError` where it cannot be."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{option} must be text, but is {value!r:.100}")
    if not value or len(value) > LONGEST_LABEL or not value.isprintable():
        raise ValueError(f"{option} must be 1 to {LONGEST_LABEL} printable characters, but is {value!r:.100}")
    return value


def _integer(option: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{option} must be a whole number, but is {value!r:.100}")
    number = int(value)
    if not least <= number <= most:
        raise ValueError(f"{option} must be at least {least} and at most {most}, but is {number}")
    return number


def _number(option: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{option} must be a number, but is {value!r:.100}")
    return float(value)


def _seconds(option: str, value: Any, least: float) -> float:
    seconds = _number(option, value)
    if not least <= seconds < math.inf:
        bound = "0 or more" if not least else "more than 0"
        raise ValueError(f"{option} must be {bound} seconds, but is {value!r}")
    return seconds


def _resources(value: object) -> Resources:
    if value is None:
        return NO_RESOURCES
    if not isinstance(value, Mapping):
        raise TypeError(f"resources must be amounts by name, such as {{'gpu': 1}}, but is {value!r:.100}")
    for name, amount in value.items():
        label_of("the name of a resource", name if name is not None else 0)
        if amount != 0 and not LEAST_AMOUNT <= _number(f"the amount of {name!r}", amount) <= MOST_AMOUNT:
            raise ValueError(f"the amount of {name!r} must be {LEAST_AMOUNT:g} to {MOST_AMOUNT:g}, but is {amount!r}")
    found = resources_from(value)
    if len(found) > MOST_RESOURCES:
        raise ValueError(f"resources names {len(found)} amounts, more than {MOST_RESOURCES}")
    return found


def nested_options(options: BatchOptions, parent: Task) -> BatchOptions:
    """The options of what a task submits: it goes before others as the task does, and before the task's own kind.

    It is seen where the task is: what prints inside of a quiet one is quiet.
    """
    standing = parent.standing
    return replace(
        options,
        parent=parent.name,
        priority=min(max(options.priority + standing.priority, -_INTEGERS), _INTEGERS - 1),
        depth=min(standing.depth + 1, MAX_DEPTH),
        root=standing.root,
        quiet=options.quiet or standing.is_quiet,
    )
