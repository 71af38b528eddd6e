"""Exceptions as values: made again of their parts where their own `__init__` asks for other arguments."""

import copyreg
import pickle
from typing import Any

import pytest

from scaler.payload.exception_parts import builtin_base, exception_by_parts
from scaler.payload.pickling import dumps


class CodeError(Exception):
    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class FileError(FileNotFoundError):
    def __init__(self, name: str) -> None:
        super().__init__(2, "gone", name)


class PlainError(ValueError):
    pass


class OwnError(CodeError):
    def __reduce__(self) -> Any:
        return ValueError, ("in its own way",)


class StateError(CodeError):
    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.code = -1 if state is None else -state["code"]


class Group(ExceptionGroup[Exception]):
    def __init__(self, text: str, members: list[Exception]) -> None:
        del text, members
        self.is_ours = True


class RegisteredError(CodeError):
    pass


def again(error: BaseException) -> Any:
    return pickle.loads(dumps(error))  # noqa: S301  # bytes of our own


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: lambda: error])
def test_an_exception_with_an_init_of_its_own_is_a_value_like_others(wrap: Any):
    error = CodeError(7, text="x")
    error.add_note("a note")
    got = again(wrap(error))
    got = got() if callable(got) else got
    assert (type(got), got.args, got.code, got.__notes__) == (CodeError, ("7: x",), 7, ["a note"])


def test_what_the_built_in_class_keeps_is_kept():
    error = again(FileError("name"))
    assert (type(error), error.errno, error.filename, str(error)) == (FileError, 2, "name", "[Errno 2] gone: 'name'")
    group = again(Group("both", [ValueError(1)]))
    assert (type(group), group.message, group.exceptions[0].args, group.is_ours) == (Group, "both", (1,), True)


def test_an_exception_may_hold_itself():
    error: Any = CodeError(7, text="x")
    error.itself = error
    got = again(error)
    assert got.itself is got


def test_what_says_itself_how_it_is_pickled_is_asked():
    assert repr(again(OwnError(1, text="x"))) == "ValueError('in its own way')"
    assert again(StateError(7, text="x")).code == -7
    copyreg.pickle(RegisteredError, lambda _: (KeyError, ("registered",)))  # type: ignore[arg-type,return-value]  # another exception in its place
    try:
        assert repr(again(RegisteredError(1, text="x"))) == "KeyError('registered')"
    finally:
        del copyreg.dispatch_table[RegisteredError]


def test_most_exceptions_need_nothing_of_this():
    for error in (ValueError(1), PlainError(1), OSError(2, "gone")):
        assert exception_by_parts(error) is NotImplemented


def test_a_class_that_was_made_in_a_bare_namespace_is_none_of_pythons_own():
    names: dict[str, Any] = {}
    exec("class BareError(KeyError): pass", names)  # noqa: S102  # that is how it is made
    assert names["BareError"].__module__ == "builtins"
    assert builtin_base(names["BareError"]) is KeyError
