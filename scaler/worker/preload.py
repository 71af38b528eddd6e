"""What every worker calls before its first task: `module:function`, or `module:function('a', k=1)`."""

import ast
import importlib
from dataclasses import dataclass, field
from typing import Any

from scaler.lines import plain_lines
from scaler.payload.exception_parts import type_name

#: of what is told of a failure
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Preload:
    """A function by module and qualified name, and the literals it is called with."""

    module: str
    name: str
    args: tuple[Any, ...] = ()  # Any: whatever literals there are
    kwargs: dict[str, Any] = field(default_factory=dict)

    def call(self) -> None:
        """Import it and call it; raises what that raises."""
        function: Any = importlib.import_module(self.module)  # Any: whatever users name
        for part in self.name.split("."):
            function = getattr(function, part)
        function(*self.args, **self.kwargs)


def in_short(error: BaseException) -> str:
    """What an exception is, and the first line of what it says."""
    name = type_name(type(error))
    try:
        lines = plain_lines(str(error).strip())
    except Exception:  # noqa: BLE001  # users' exceptions may break whoever looks at them
        lines = []
    return f"{name}: {lines[0]}"[:_LONGEST] if lines else name


def parse_preload(text: str) -> Preload:
    """The parts of it; `ValueError` if it is written in another way."""
    try:
        return _parsed(*text.strip().split(":", 1))
    except (SyntaxError, TypeError, ValueError):
        raise ValueError(f"{text!r} is no call of module:function") from None


def _parsed(module: str, call: str) -> Preload:
    written = ast.parse(call.strip(), mode="eval").body
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(module)
    if not isinstance(written, ast.Call):
        return Preload(module, _name(written))
    args = tuple(ast.literal_eval(one) for one in written.args)
    kwargs = {word.arg: ast.literal_eval(word.value) for word in written.keywords if word.arg is not None}
    if len(kwargs) < len(written.keywords):
        raise ValueError("** names no keywords")
    return Preload(module, _name(written.func), args, kwargs)


def _name(written: ast.expr) -> str:
    match written:
        case ast.Name(name):
            return name
        case ast.Attribute(owner, name):
            return f"{_name(owner)}.{name}"
        case _:
            raise ValueError(ast.unparse(written))
