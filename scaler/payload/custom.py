"""A serializer of the user's own, in the place of ours, for functions, arguments and results of one client.

It is pickled once per client and travels with the functions of that client; a worker opens it once. What it has made
of a value is a `Sealed`, which opens itself wherever it is unpickled, so that nothing on its way needs to know of it.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import cloudpickle

from scaler.errors import DeserializeObjectError, SerializationError
from scaler.payload.functions import function_name
from scaler.payload.inputs import itself


class Serializer(Protocol):
    """What `Client(serializer=…)` takes: an object or a class with these two, which workers can be given as well."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        """The value in bytes."""
        ...

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        """The value that `serialize` has made these bytes of."""
        ...


#: by the name of its bytes, each serializer that this process has or was sent
_known: dict[bytes, Serializer] = {}


class Sealed:
    """A value in the bytes of a serializer."""

    __slots__ = ("_key", "_payload")

    def __init__(self, key: bytes, payload: bytes) -> None:
        self._key = key
        self._payload = payload

    def __reduce__(self) -> tuple[Callable[[bytes, bytes], Any], tuple[bytes, bytes]]:
        return opened, (self._key, self._payload)


def opened(key: bytes, payload: bytes) -> Any:
    """The value in the bytes; `DeserializeObjectError` if its serializer was never heard of here."""
    serializer = _known.get(key)
    if serializer is None:
        raise DeserializeObjectError("a value was made by the serializer of a client that this process does not know")
    return serializer.deserialize(payload)


class Carrier:
    """One client's serializer at work: `function` and `value` are what to send in the place of the user's own."""

    def __init__(self, serializer: Serializer) -> None:
        for name in ("serialize", "deserialize"):
            if not callable(getattr(serializer, name, None)):
                raise TypeError(f"serializer has to have serialize(obj) and deserialize(payload): {serializer!r:.200}")
        try:
            self._pickled: bytes = cloudpickle.dumps(serializer)
        except Exception as error:
            raise SerializationError(f"the serializer cannot be sent to workers: {error}") from error
        self._key = hashlib.blake2b(self._pickled, digest_size=16).digest()
        _known[self._key] = serializer

    def function(self, function: Callable[..., Any]) -> "Carried":
        """A function that takes and returns what `value` makes."""
        return Carried(self._key, self._pickled, _made(self._key, function), function_name(function))

    def value(self, value: Any) -> "Sealed | _Standing":
        """A value in the serializer's bytes; `SerializationError` if it makes none. A future stands for its result."""
        stands_for_value = isinstance(value, Future) or getattr(type(value), "stands_for_value", False)
        return _Standing(self, value) if stands_for_value else Sealed(self._key, _made(self._key, value))

    def values(self, values: tuple[Any, ...]) -> "tuple[Sealed | _Standing, ...]":
        """As `value`, for the arguments of a call."""
        return tuple(map(self.value, values))


class _Standing:
    """A future that is an argument; a result of it that was opened here has to be sealed anew."""

    def __init__(self, carrier: Carrier, future: "Future[Any]") -> None:
        self._carrier = carrier
        self._future = future

    def __reduce__(self) -> str | tuple[Any, ...]:
        made = self._future.__reduce__()
        if not isinstance(made, str) and made[0] is itself:
            return itself, self._carrier.values(made[1])
        return made


class Carried:
    """A user's function that is called with opened arguments and whose result is sealed; open once it is here."""

    #: it is opened once, by whatever the user has chosen
    keeps_no_state = True

    def __init__(self, key: bytes, serializer: bytes, payload: bytes, name: str) -> None:
        self.__qualname__ = name
        self._parts = (key, serializer, payload, name)
        self._function: Callable[..., Any] | None = None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[bytes, bytes, bytes, str]]:
        return _arrived, self._parts

    def __call__(self, /, *args: Any, **kwargs: Any) -> Sealed:
        """Run it where it has arrived."""
        key = self._parts[0]
        return Sealed(key, _made(key, self.run(*args, **kwargs)))

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """The same, and return the result as it is."""
        key, _, payload, _ = self._parts
        function = self._function
        if function is None:
            function = self._function = opened(key, payload)
        return function(*args, **kwargs)


def _arrived(key: bytes, serializer: bytes, payload: bytes, name: str) -> Carried:
    if key not in _known:
        _known[key] = cloudpickle.loads(serializer)
    return Carried(key, serializer, payload, name)


def _made(key: bytes, value: Any) -> bytes:
    try:
        made = _known[key].serialize(value)
    except Exception as error:
        raise SerializationError(f"the serializer cannot serialize {value!r:.200}: {error}") from error
    if not isinstance(made, bytes):
        raise SerializationError(f"serialize() has to return bytes, but returned {type(made).__name__}")
    return made
