"""A serializer of the user's own makes the bytes of functions, arguments and results, on both sides."""

import pickle
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
import pytest

from scaler import Client, SchedulerClusterCombo, Serializer
from scaler.errors import SerializationError
from tests.integration.processes import own_place


class Packed(Serializer):
    """As users write one: by static methods."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        if type(obj) is complex:
            raise ValueError("no complex numbers here")
        return zlib.compress(cloudpickle.dumps(obj))

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return pickle.loads(zlib.decompress(payload))  # noqa: S301  # our own bytes


class Counting:
    """By an object with a state: counts what it is asked for, and how often it is pickled itself."""

    def __init__(self) -> None:
        self.serialized: list[Any] = []
        self.pickled = 0

    def __reduce__(self) -> tuple[type["Counting"], tuple[()]]:
        self.pickled += 1
        return Counting, ()

    def serialize(self, obj: Any) -> bytes:
        self.serialized.append(obj)
        return Packed.serialize(obj)

    def deserialize(self, payload: bytes) -> Any:
        value = Packed.deserialize(payload)
        return f"opened {value}" if value == "marked" else value


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    with own_place(), SchedulerClusterCombo(n_workers=2) as combo:
        yield combo


@pytest.mark.parametrize("serializer", [Packed, Packed()])
def test_functions_arguments_and_results_go_through_it(cluster: SchedulerClusterCombo, serializer: Serializer):
    offset = 5

    def add(left: int, *, right: int = 0) -> int:
        return left + right + offset

    with Client(cluster, serializer=serializer) as client:
        assert client.submit(add, 1, right=2).result() == 8
        assert client.map(add, range(100)) == list(range(5, 105))
        assert client.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
        assert client.submit(divmod, 7, 2).result() == (3, 1)


def test_it_is_positional_as_scaler_has_it_and_pickled_once_per_client(cluster: SchedulerClusterCombo):
    mine = Counting()
    with Client(cluster, False, 60, 2, mine) as client:  # type: ignore[arg-type]  # methods, not static ones
        # opened where it runs, and what that returned here
        assert client.map(str, ["marked", "plain"]) == ["opened marked", "plain"]
        assert client.submit(len, [1, 2]).result() == 2
    assert mine.pickled == 1
    assert mine.serialized == [str, "marked", "plain", [1, 2], len]


class Handle:
    """What no pickler but `Handles` takes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("not this way")


class Handles(Packed):
    """Takes a `Handle`, too."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return Packed.serialize(("handle", obj.number) if isinstance(obj, Handle) else obj)

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        value = Packed.deserialize(payload)
        return Handle(value[1]) if isinstance(value, tuple) and value[:1] == ("handle",) else value


def raised(handle: Handle, by: int = 1) -> Handle:
    return Handle(handle.number + by)


def test_futures_among_arguments_stand_for_what_it_made(cluster: SchedulerClusterCombo):
    with Client(cluster, serializer=Handles) as client:
        first = client.submit(raised, Handle(1))
        second = client.submit(raised, first, by=client.submit(abs, -2))
        assert second.result().number == 4
        third = client.submit(raised, second)  # which was opened here
        assert [one.number for one in client.map(raised, [third, second, Handle(7)])] == [6, 5, 8]
        assert client.submit(sum, [client.submit(abs, -1), client.submit(abs, -2)]).result() == 3


def test_all_ways_to_call_go_through_it(cluster: SchedulerClusterCombo):
    with Client(cluster, serializer=Handles) as client:
        handles = [Handle(number) for number in range(20)]
        expected = list(range(1, 21))
        assert [one.number for one in client.imap(raised, handles)] == expected
        assert [one.number for one in client.map_async(raised, handles).get()] == expected
        with client.executor() as executor:
            assert [one.number for one in executor.map(raised, handles)] == expected
        client.run_on_workers(lambda: iter(()))  # what it returns need not be sent
        failed = client.submit(raised, Handle(1), by="one", retry_on=ValueError, retries=1)  # type: ignore[arg-type]  # the mistake
        assert isinstance(failed.exception(), TypeError)
        assert isinstance(client.retry(failed)[0].exception(), TypeError)


def test_another_client_of_the_same_workers_is_not_touched(cluster: SchedulerClusterCombo):
    with Client(cluster, serializer=Packed) as packed, Client(cluster) as plain:
        assert packed.map(abs, [-1, -2]) == plain.map(abs, [-1, -2]) == [1, 2]
        assert plain.submit(abs, 3 + 4j).result() == 5.0


def test_what_it_refuses_is_told_where_it_was_refused(cluster: SchedulerClusterCombo):
    def turn(value: float) -> complex:
        return value * 1j

    with Client(cluster, serializer=Packed) as client:
        with pytest.raises(SerializationError, match=r"cannot serialize \(1\+2j\): no complex numbers here"):
            client.submit(abs, 1 + 2j)
        with pytest.raises(SerializationError, match="cannot serialize 2j: no complex numbers here"):
            client.submit(turn, 2.0).result()
        with pytest.raises(TypeError, match="missing a required argument"):
            client.submit(turn)
        with pytest.raises(ZeroDivisionError) as caught:
            client.map(divmod, [(1, 0)])
    assert "in task " in caught.value.__notes__[0]
    assert "(divmod)" in caught.value.__notes__[0]


def test_a_client_takes_its_serializer_along(cluster: SchedulerClusterCombo):
    with Client(cluster, serializer=Packed()) as client:
        again = pickle.loads(pickle.dumps(client))  # noqa: S301  # our own bytes
        with again:
            assert again.map(abs, [-3]) == [3]


@pytest.mark.parametrize("wrong", [object(), "pickle"])
def test_what_is_no_serializer_is_refused(cluster: SchedulerClusterCombo, wrong: Any):
    with pytest.raises(TypeError, match="serializer has to have"):
        Client(cluster, serializer=wrong)


def test_what_makes_no_bytes_is_refused(cluster: SchedulerClusterCombo):
    class Text(Packed):
        serialize: Callable[[Any], Any] = staticmethod(str)  # type: ignore[assignment]  # the mistake

    with Client(cluster, serializer=Text) as client, pytest.raises(SerializationError, match="has to return bytes"):
        client.submit(abs, 1)
