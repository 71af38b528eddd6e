import functools
import json
import math
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from scaler.errors import DeserializeObjectError, SerializationError
from scaler.payload import functions as functions_module
from scaler.payload.functions import Retried, function_name, load_function, pickle_function
from scaler.payload.pickling import is_importable
from scaler.protocol.columns import MAX_FRAME_BYTES


def module_level(x: int, *, factor: int = 3, **others: int) -> tuple[int, dict[str, int]]:
    return x * factor, others


def only_registered(x: int) -> int:
    return x + 1


class Adder:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def add(self, x: int) -> int:
        return x + self.amount

    def __call__(self, x: int) -> int:
        return self.add(x)

    @staticmethod
    def double(x: int) -> int:
        return 2 * x


class Broken:
    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (Broken, "absent")


def sent(function: Callable[..., Any]) -> Callable[..., Any]:
    return load_function(pickle_function(function).frames)


@pytest.mark.parametrize("function", [module_level, Adder.double, json.dumps, math.sqrt, len, int, Adder, dict.get])
def test_what_workers_can_import_goes_by_reference(function: Callable[..., Any]):
    assert sent(function) is function
    assert len(pickle_function(function, ship_code=False).frames[0]) < 130


def test_an_importable_function_is_pickled_once():
    assert pickle_function(json.loads) is pickle_function(json.loads)


def test_the_memory_of_pickled_functions_keeps_none_alive():
    module = types.ModuleType("scaler_test_short_lived")
    module.__spec__ = json.__spec__
    sys.modules[module.__name__] = module
    try:
        exec("def f(): pass", module.__dict__)  # noqa: S102  # a module no import finds
        pickle_function(module.f)
        living = weakref.ref(module.f)
        del module.__dict__["f"]
        assert living() is None
    finally:
        del sys.modules[module.__name__]


def test_a_closure_is_pickled_anew_each_time():
    amount = 1

    def add(x: int) -> int:
        return x + amount

    first = pickle_function(add)
    amount = 2
    second = pickle_function(add)
    assert first.id != second.id
    assert [load_function(pickled.frames)(10) for pickled in (first, second)] == [11, 12]


def test_an_unchanged_closure_keeps_its_id():
    amount = 1

    def add(x: int) -> int:
        return x + amount

    assert pickle_function(add).id == pickle_function(add).id


def test_a_lambda_written_once_has_one_id_however_often_it_is_made():
    made = [lambda x: x + len("abc") for _ in range(3)]
    assert len({pickle_function(function).id for function in made}) == 1


def test_types_that_only_the_client_has_names_for_travel_with_the_function():
    local_id = typing.NewType("local_id", int)

    def annotated(x: local_id) -> local_id:
        return local_id(x)

    copy = sent(annotated)
    assert copy(3) == 3
    made = copy.__annotations__["x"]
    assert (made.__name__, made.__supertype__, made.__module__) == ("local_id", int, __name__)


def test_equal_ids_mean_equal_bytes():
    assert pickle_function(lambda x: x + 1).id != pickle_function(lambda x: x + 2).id


def test_a_function_replaced_in_its_module_is_sent_as_it_is():
    original = module_level
    try:
        globals()["module_level"] = lambda _: "patched"
        assert not is_importable(original)
        assert sent(original)(2) == (6, {})
    finally:
        globals()["module_level"] = original


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (functools.partial(module_level, factor=5), (10, {})),
        (functools.partial(lambda x, y: (x, y), 1), (1, 2)),
        (Adder(3).add, 5),
        (Adder(4), 6),
        (lambda x: x**3, 8),
        ("{}!".format, "2!"),
        (functools.partial(functools.partial(max, 1), 9), 9),
        (functools.lru_cache(maxsize=2)(lambda x: x - 1), 1),
    ],
)
def test_any_callable_can_be_sent(function: Callable[..., Any], result: object):
    assert sent(function)(2) == result


def test_a_bound_method_is_sent_with_its_object_as_it_is_now():
    adder = Adder(1)
    first = pickle_function(adder.add)
    adder.amount = 2
    second = pickle_function(adder.add)
    assert [load_function(pickled.frames)(0) for pickled in (first, second)] == [1, 2]


def test_defaults_and_keywords_survive_the_journey():
    def local(a: int, /, b: int = 2, *args: int, c: int = 3, **others: int) -> tuple[Any, ...]:
        return a, b, args, c, others

    assert sent(local)(1, c=4, d=5) == (1, 2, (), 4, {"d": 5})
    assert sent(module_level)(1, other=2) == (3, {"other": 2})


def test_a_local_function_calls_itself_and_its_neighbours():
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert sent(even)(10)


def test_a_function_of_a_module_made_by_hand_goes_by_value():
    module = types.ModuleType("scaler_test_by_hand")
    exec("y = 2\ndef helper(x): return x * y\ndef f(x): return helper(x) + 1", module.__dict__)  # noqa: S102  # as above
    sys.modules[module.__name__] = module
    try:
        pickled = pickle_function(module.f)
    finally:
        del sys.modules[module.__name__]
    assert load_function(pickled.frames)(5) == 11


def test_a_module_registered_with_cloudpickle_goes_by_value():
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        by_value = pickle_function(only_registered)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert len(by_value.frames[0]) > 2 * len(pickle_function(only_registered).frames[0])
    assert load_function(by_value.frames)(1) == 2


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()

    def locked() -> None:
        with lock:
            pass

    with pytest.raises(SerializationError) as raised:
        pickle_function(locked)
    assert str(raised.value) == (
        "the function test_what_cannot_be_sent_is_named.<locals>.locked cannot be sent: "
        "function's variable lock: cannot pickle '_thread.lock' object"
    )


def test_a_partial_that_cannot_be_sent_names_the_argument():
    with pytest.raises(SerializationError, match=r"function\.args\[0\]: cannot pickle '_thread.lock' object"):
        pickle_function(functools.partial(print, threading.Lock()))


def test_a_function_that_cannot_be_loaded_says_why():
    frames = [pickle_function(module_level).frames[0].replace(b"module_level", b"modulelevel1")]
    with pytest.raises(DeserializeObjectError) as raised:
        load_function(frames)
    assert str(raised.value) == (
        "the function cannot be loaded here: AttributeError: Can't get attribute 'modulelevel1' on "
        f"{sys.modules[__name__]!r}; workers must be able to import what the client imports: install it for them, or "
        "name its folder by 'scaler_worker --python-path' or in PYTHONPATH"
    )


def test_a_function_whose_module_is_not_here_says_what_to_do():
    frames = [pickle_function(module_level).frames[0].replace(b"tests.unit", b"absent.one")]
    with pytest.raises(DeserializeObjectError, match=r"No module named 'absent'; workers must be able to import what"):
        load_function(frames)


def test_a_function_that_breaks_by_itself_is_told_as_it_is():
    frames = [pickle_function(functools.partial(print, Broken())).frames[0]]
    with pytest.raises(DeserializeObjectError) as raised:
        load_function(frames)
    assert (
        str(raised.value)
        == "the function cannot be loaded here: AttributeError: type object 'Broken' has no attribute 'absent'"
    )


def test_exceptions_to_retry_on_travel_with_the_function():
    class OwnError(OSError):
        pass

    for function in (divmod, lambda: 5):
        pickled = pickle_function(function, (OwnError, KeyError))
        assert pickled.id != pickle_function(function).id
        assert pickled.name == pickle_function(function).name
        loaded = load_function(pickled.frames)
        assert isinstance(loaded, Retried)
        assert [kind.__name__ for kind in loaded.retry_on] == ["OwnError", "KeyError"]
        assert issubclass(loaded.retry_on[0], OSError)
    assert loaded.function() == 5
    assert pickle_function(divmod, (OSError,)) == pickle_function(divmod, (OSError,))


def test_exceptions_to_retry_on_that_cannot_be_sent_are_named():
    lock = threading.Lock()
    with pytest.raises(SerializationError, match=r"divmod cannot be sent with its retry_on: .*lock"):
        pickle_function(divmod, (type("HoldingError", (OSError,), {"held": lock}),))


def test_a_large_function_is_cut_into_frames():
    table = b"x" * (5 * MAX_FRAME_BYTES // 2)
    pickled = pickle_function(lambda: len(table))
    assert [len(frame) for frame in pickled.frames[:2]] == [MAX_FRAME_BYTES] * 2
    assert len(pickled.frames) == 3
    assert load_function(pickled.frames)() == len(table)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (module_level, "module_level"),
        (Adder.double, "Adder.double"),
        (functools.partial(functools.partial(math.sqrt), 2), "sqrt"),
        (Adder(1), "Adder"),
        (Adder(1).add, "Adder.add"),
        (int, "int"),
    ],
)
def test_functions_have_names_for_people(function: Callable[..., Any], name: str):
    assert function_name(function) == name


def test_a_name_is_no_longer_than_a_message_holds():
    def named() -> None: ...

    named.__qualname__ = "n" * 257
    assert function_name(named) == function_name(functools.partial(named)) == "n" * 256


def test_a_function_that_no_message_has_room_for_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions_module, "MAX_VALUE_BYTES", 1000)
    data = bytes(1000)
    with pytest.raises(SerializationError, match=r"the function .*length has \d,\d{3} bytes when pickled"):
        pickle_function(_closure_over(data), ship_code=False)


def _closure_over(data: bytes) -> Callable[[], int]:
    def length() -> int:
        return len(data)

    return length
