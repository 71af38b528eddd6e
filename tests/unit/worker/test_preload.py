import json
from typing import Any

import pytest

from scaler.worker.preload import Preload, in_short, parse_preload

CALLED: list[tuple[tuple[Any, ...], dict[str, Any]]] = []


class Setup:
    @staticmethod
    def begin(*args: Any, **kwargs: Any) -> None:
        CALLED.append((args, kwargs))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("module:function", Preload("module", "function")),
        ("pkg.mod:func('a', k=1)", Preload("pkg.mod", "func", ("a",), {"k": 1})),
        (" pkg.mod : Class.method() ", Preload("pkg.mod", "Class.method")),
        ("m:f([1, -2.5], {'a': None}, x=(True,))", Preload("m", "f", ([1, -2.5], {"a": None}), {"x": (True,)})),
    ],
)
def test_a_call_is_written_as_in_python(text: str, expected: Preload):
    assert parse_preload(text.replace(" : ", ":")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "module", "module:", ":function", "mod-ule:f", "m:f(", "m:f(**{})", "m:f(*[1])", "m:f(open('x'))",
        "m:f()()", "m:1", "m:f(x)", "m:f; g",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str):
    with pytest.raises(ValueError, match="is no call of module:function"):
        parse_preload(text)


def test_the_function_is_imported_and_called_with_what_is_written():
    parse_preload(f"{__name__}:Setup.begin(1, two=[2])").call()
    assert CALLED == [((1,), {"two": [2]})]


def test_what_is_not_there_is_told_as_python_tells_it():
    with pytest.raises(AttributeError, match="nothing"):
        parse_preload(f"{__name__}:Setup.nothing").call()
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        parse_preload("no_such_module_of_ours:f").call()


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it breaks whoever looks at it")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such model"), "ValueError: no such model"),
        (RuntimeError("no licence\n[INFO] forged"), "RuntimeError: no licence"),
        (SystemExit("\n  not today\x1b[2J"), "SystemExit: not today"),
        (json.JSONDecodeError("bad", "x", 0), "json.decoder.JSONDecodeError: bad: line 1 column 1 (char 0)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OddError(), f"{__name__}.OddError"),
    ],
)
def test_why_it_failed_is_told_by_its_type_and_first_line(error: BaseException, text: str):
    assert in_short(error) == text
