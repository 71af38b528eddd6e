"""Objects on real processes: sent once, read in place by every worker of a host, gone when nobody needs them."""

import ctypes
import functools
import gc
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas
import pytest

from scaler import Client, ObjectReference
from scaler.errors import MissingObjects, ObjectLostError, StoreFullError
from scaler.payload.inputs import inline
from scaler.storage.places import MEMORY
from scaler.storage.store import PREFIX
from tests.integration.processes import Place, wait_until
from tests.integration.security_root import needs_hosts
from tests.integration.workloads import same

MEGABYTE = 1 << 20


@pytest.fixture
def address(place: Place) -> str:
    """A scheduler with two workers."""
    _, address = place.scheduler()
    place.cluster(address, 2)
    return address


def files(client: Client | str) -> list[Path]:
    """The values of a client, or of one with this identity, that lie in the memory of this host."""
    name = client if isinstance(client, str) else client.identity.hex()
    return list(MEMORY.glob(f"{PREFIX}*/{name}-*"))


def total(values: Any) -> int:
    return int(np.asarray(values).sum())


def place_of(values: "np.ndarray[Any, Any]") -> tuple[bool, bool]:
    """Whether an array can be written to, and owns what it has."""
    return values.flags.writeable, values.flags.owndata


def write(values: "np.ndarray[Any, Any]") -> None:
    values[0] = 1


def write_copy(values: "np.ndarray[Any, Any]") -> int:
    values = values.copy()
    values[0] = 7
    return int(values[0])


def lookup(heavy: bytes, key: int) -> int:
    return heavy[key]


class Box:
    def __init__(self, content: Any) -> None:
        self.content = content


def unbox(box: Box, *, also: dict[str, Any]) -> int:
    return total(box.content) + total(also["deep"][0])


def test_what_was_sent_stands_for_its_value_wherever_it_is_among_arguments(client: Client, place: Place, address: str):
    place.cluster(address, 2)
    values = np.arange(MEGABYTE, dtype="i8")
    reference = client.send_object(values, name="squares")
    assert isinstance(reference, ObjectReference)
    assert (reference.name, reference.size >= values.nbytes) == ("squares", True)
    expected = int(values.sum())
    assert client.submit(total, reference).result() == expected
    assert client.map(total, [(reference,)] * 20) == [expected] * 20
    assert client.submit(unbox, Box(reference), also={"deep": [reference]}).result() == 2 * expected
    assert client.get({"a": reference, "b": (total, "a")}, ["b"]) == {"b": expected}
    future = client.submit(same, reference)
    np.testing.assert_array_equal(future.result(), values)
    assert len(files(client)) == 1


def test_arrays_are_read_where_they_lie_and_cannot_be_written_to_but_copies_can(client: Client):
    values = np.zeros(MEGABYTE, dtype="u1")
    for argument in (values, client.send_object(values)):
        assert client.submit(place_of, argument).result() == (False, False)
        with pytest.raises(ValueError, match="read-only"):
            client.submit(write, argument).result()
        assert client.submit(write_copy, argument).result() == 7
    assert values[0] == 0


def spoil(values: "np.ndarray[Any, Any]") -> int:
    """As compiled code that is told to overwrite its arguments does."""
    before = total(values)
    ctypes.memset(values.ctypes.data, 1, values.nbytes)
    return before


@pytest.mark.parametrize("size", [10_000, 70_000, 1_000_000])
def test_what_compiled_code_does_to_an_argument_no_other_task_sees(client: Client, size: int):
    values = np.zeros(size, dtype="u1")
    made = client.submit(np.zeros, size, "u1")
    for argument in (values, client.send_object(values), made):
        assert client.map(spoil, [(argument,)] * 10) == [0] * 10
        assert [client.submit(spoil, argument).result() for _ in range(10)] == [0] * 10


def passed_on(values: "np.ndarray[Any, Any]") -> dict[str, Any]:
    frame = pandas.DataFrame({"a": values, "b": values})
    return {"same": values, "part": values[1:], "turned": values.reshape(-1, 2).T, "frame": frame.assign(c=1.0)}


@pytest.mark.parametrize("size", [10, 1000, 200_000])
def test_what_comes_back_can_be_written_to_though_it_was_an_argument(client: Client, size: int):
    values = np.arange(size, dtype="f8")
    for argument in (values, client.send_object(values), client.submit(np.arange, float(size))):
        found = client.submit(passed_on, argument).result()
        for name in ("same", "part", "turned"):
            expected = passed_on(values)[name]
            np.testing.assert_array_equal(found[name], expected)
            found[name][...] = 7
        found["frame"].loc[0, "a"] = 5.0
        assert found["frame"].loc[0].tolist() == [5.0, 0.0, 1.0]
    assert values[-1] == size - 1


def nested_total(values: dict[str, Any]) -> tuple[int, list[bool]]:
    arrays = [values["list"][0], values["box"].content]
    return sum(map(total, arrays)), [array.flags.writeable for array in arrays]


@pytest.mark.parametrize("size", [1, 1000, MEGABYTE])
def test_small_arrays_cannot_be_written_to_in_tasks_either_wherever_they_come_from(client: Client, size: int):
    values = np.zeros(size, dtype="u1")
    made = client.submit(np.zeros, size, "u1")
    for argument in (values, client.send_object(values), made, values.reshape(1, -1).T[:, 0]):
        with pytest.raises(ValueError, match="read-only"):
            client.submit(write, argument).result()
        with pytest.raises(ValueError, match="read-only"):
            client.map(write, [(argument,), (argument,)])
        assert client.submit(write_copy, argument).result() == 7
    ones = np.ones(size, dtype="i4")
    assert client.submit(nested_total, {"list": [ones], "box": Box(ones)}).result() == (2 * size, [False, False])
    # what comes back is the caller's own, and so is what was passed
    result = made.result()
    result[0] = values[0] = 5
    assert (result[0], values[0]) == (5, 5)


def test_large_arguments_are_sent_once_and_gone_when_no_task_needs_them(client: Client):
    values = np.arange(MEGABYTE, dtype="i8")
    expected = int(values.sum())
    assert [future.result() for future in [client.submit(total, values) for _ in range(50)]] == [expected] * 50
    assert client.map(total, [values] * 50) == [expected] * 50
    assert client.map(len, [bytes(MEGABYTE), "t" * MEGABYTE, b"short"]) == [MEGABYTE, MEGABYTE, 5]
    wait_until(lambda: not files(client), "the files are gone")


def test_a_value_that_changes_after_it_was_passed_arrives_as_it_was(client: Client):
    values = np.zeros(MEGABYTE, dtype="u1")
    futures = []
    for number in range(5):
        values[:] = number
        futures.append(client.submit(total, values))
    assert [future.result() for future in futures] == [number * MEGABYTE for number in range(5)]


def test_the_heavy_parts_of_a_partial_are_sent_once(client: Client, capfd: pytest.CaptureFixture[str]):
    heavy = functools.partial(lookup, b"1" * (100 * MEGABYTE))
    futures = [client.submit(heavy, number) for number in range(100)]
    assert len(files(client)) == 1
    assert [future.result() for future in futures] == [ord("1")] * 100
    assert client.map(heavy, range(100)) == [ord("1")] * 100
    assert capfd.readouterr().err.count("\n") <= 1
    del futures
    wait_until(lambda: not files(client), "the files are gone")


def test_references_and_futures_are_gone_with_all_that_they_held(client: Client):
    for _ in range(5):
        references = [client.send_object(os.urandom(MEGABYTE)) for _ in range(20)]
        assert len(files(client)) == 20
        assert client.map(len, references) == [MEGABYTE] * 20
        del references
        gc.collect()
        wait_until(lambda: not files(client), "the files are gone")


def test_after_a_clear_what_was_sent_is_missing(client: Client):
    reference = client.send_object(bytes(MEGABYTE))
    running = client.submit(len, reference)
    assert running.result() == MEGABYTE
    client.clear()
    with pytest.raises(MissingObjects, match="send it again"):
        client.submit(len, reference)
    wait_until(lambda: not files(client), "the files are gone")
    assert client.submit(len, client.send_object(bytes(MEGABYTE))).result() == MEGABYTE


def test_a_file_that_somebody_has_removed_is_told(client: Client):
    reference = client.send_object(bytes(MEGABYTE))
    [path] = files(client)
    path.unlink()
    with pytest.raises(ObjectLostError, match="nobody has it any more"):
        client.submit(len, reference).result()


def test_objects_of_a_client_inside_a_task(client: Client):
    def outer(size: int) -> int:
        with Client() as inner:
            values = np.ones(size, dtype="u1")
            reference = inner.send_object(values)
            return sum(inner.map(total, [(reference,), (values,)] * 5))

    assert client.submit(outer, MEGABYTE).result() == 10 * MEGABYTE


def test_a_killed_worker_costs_no_object(client: Client, place: Place):
    reference = client.send_object(np.ones(MEGABYTE, dtype="u1"))

    def end_once(values: Any, path: str) -> int:
        file = Path(path)
        if not file.exists():
            file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return total(values)

    assert client.submit(end_once, reference, place.path("ended")).result() == MEGABYTE


def by_keyword(number: int, *, table: Any) -> tuple[int, int]:
    return number, len(table)


def test_a_map_of_a_partial_looks_at_what_that_brings_once(client: Client):
    table = np.arange(8 * MEGABYTE, dtype="u1")
    assert client.map(functools.partial(lookup, table), range(300)) == [*range(256), *range(44)]
    found = client.map(functools.partial(by_keyword, table=table), range(10))
    assert found == [(number, 8 * MEGABYTE) for number in range(10)]
    assert list(client.imap(functools.partial(lookup, table), range(3))) == [0, 1, 2]


@pytest.mark.parametrize(("limit", "are_sent"), [("1Ki", True), ("1Mi", False)])
def test_from_which_size_on_values_are_sent_once_is_said_by_the_environment(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch, limit: str, *, are_sent: bool
):
    monkeypatch.setattr(inline, "most_bytes", inline.most_bytes)  # it is put back then
    monkeypatch.setenv("SCALER_INLINE_LIMIT", limit)
    values = np.arange(25_000)
    with Client(address=address) as client:
        future = client.submit(until_told, place.path("go"), values, b"b" * 100_000)
        assert len(files(client)) == (2 if are_sent else 0)
        assert client.send_object(values).size >= values.nbytes
        Path(place.path("go")).touch()
        assert future.result() == total(values) + 100_000


def until_told(path: str, values: "np.ndarray[Any, Any]", data: bytes) -> int:
    while not Path(path).exists():
        time.sleep(0.01)
    return total(values) + len(data)


def test_a_reference_in_a_graph_is_its_value(client: Client):
    for value in (np.arange(MEGABYTE), [1, 2]):
        reference = client.send_object(value)
        found = client.get({"a": reference, "b": (total, "a")}, ["a", "b"])
        np.testing.assert_array_equal(found["a"], value)
        assert found["b"] == total(value)
        futures = client.get({"a": reference}, ["a"], block=False)
        np.testing.assert_array_equal(futures["a"].result(), value)


def test_what_failed_is_tried_anew_with_its_object_though_all_was_cleared(client: Client, place: Place):
    def fail_once(values: Any, path: str) -> int:
        if not Path(path).exists():
            Path(path).touch()
            raise ValueError("once")
        return total(values)

    failed = client.submit(fail_once, np.ones(MEGABYTE, dtype="u1"), place.path("failed"))
    with pytest.raises(ValueError, match="once"):
        failed.result()
    client.clear()
    [again] = client.retry(failed)
    assert again.result() == MEGABYTE


class Reversed:
    """Makes bytes that no other understands."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        data: bytes = cloudpickle.dumps(obj)
        return data[::-1]

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return cloudpickle.loads(payload[::-1])


def test_a_serializer_of_the_users_own_makes_what_is_sent_too(address: str):
    with Client(address, serializer=Reversed()) as client:
        for value in (b"b" * MEGABYTE, b"b"):
            reference = client.send_object(value)
            assert client.submit(len, reference).result() == len(value)
            assert client.map(len, [reference] * 3) == [len(value)] * 3


@needs_hosts
def test_a_full_disk_refuses_what_has_no_room_and_work_goes_on(
    address: str, place: Place, monkeypatch: pytest.MonkeyPatch
):
    spill = place.folder / "spill"
    spill.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(spill)], check=True)  # noqa: S607  # root's
    try:
        monkeypatch.setenv("SCALER_OBJECT_STORE_LIMIT", "0")
        monkeypatch.setenv("SCALER_SPILL_DIR", str(spill))
        with Client(address=address) as client:
            held = client.send_object(np.ones(40 * MEGABYTE, dtype="u1"))
            for call in (
                lambda: client.send_object(bytes(40 * MEGABYTE)),
                lambda: client.submit(len, bytes(40 * MEGABYTE)),
                lambda: client.map(len, [bytes(40 * MEGABYTE)]),
            ):
                with pytest.raises(StoreFullError, match=r"on disk \(.*spill\): No space left on device"):
                    call()
            assert client.submit(total, held).result() == 40 * MEGABYTE
            del held
            # what a worker has mapped takes its room until that has had nothing to do for a moment
            wait_until(lambda: shutil.disk_usage(spill).free > 50 * MEGABYTE, "there is room again")
            assert client.submit(len, bytes(40 * MEGABYTE)).result() == 40 * MEGABYTE
            # a stream waits until there is room for its next value
            values = (np.full(8 * MEGABYTE, number % 100, dtype="u1") for number in range(30))
            assert list(client.imap(total, values, buffersize=12)) == [8 * MEGABYTE * number for number in range(30)]
    finally:
        subprocess.run(["umount", "-l", str(spill)], check=True)  # noqa: S607  # root's


KEEPS = """
import signal, sys, numpy as np
from scaler import Client

client = Client(address=sys.argv[1])
kept = [client.send_object(np.ones(1 << 20, dtype="u1")) for _ in range(3)]
print(client.identity.hex(), client.map(len, kept), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_what_a_killed_client_leaves_is_removed_by_the_next_on_its_host(
    place: Place, address: str, number: signal.Signals
):
    script = place.script(KEEPS, address)
    name = script.wait_for("1048576").split()[0]
    assert len(files(name)) == 3
    script.send(number)
    script.wait()
    with Client(address=address) as client:
        reference = client.send_object(bytes(MEGABYTE))
        assert (files(name), len(files(client)), reference.size > MEGABYTE) == ([], 1, True)
