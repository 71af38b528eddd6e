"""Values in parts: arrays lie beside the pickle, are used where they lie, and cannot be written to."""

import array
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from scaler.errors import SerializationError
from scaler.payload.parts import LEAST_BUFFER_BYTES, dump_parts, frozen, load_parts
from scaler.payload.pickling import dumps

LARGE = LEAST_BUFFER_BYTES


def through(value: Any) -> Any:
    return load_parts([bytes(part) for part in dump_parts(value)])


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "text",
        "täxt \ud800" * LARGE,
        b"",
        b"bytes" * LARGE,
        bytearray(b"bytes" * LARGE),
        [b"bytes" * LARGE, {"a": (1, 2)}],
        array.array("d", range(LARGE)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_what_it_was_and_of_the_same_type(value: Any):
    found = through(value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_lies_in_the_part_it_came_in_and_cannot_be_written_to(order: Any):
    value = np.asarray(np.arange(LARGE, dtype="f8").reshape(-1, 4), order=order)
    parts = dump_parts(value)
    assert [len(part) for part in parts[1:]] == [value.nbytes]
    assert len(parts[0]) < 500
    found = load_parts([bytes(part) for part in parts])
    np.testing.assert_array_equal(found, value)
    assert found.flags.f_contiguous == value.flags.f_contiguous
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1
    copy = found.copy()
    copy[0, 0] = 1


@pytest.mark.parametrize("dtype", ["f8", "M8[ns]", "S3", [("a", "i4"), ("b", "f8")], "?"])
def test_a_small_array_cannot_be_written_to_either(dtype: Any):
    value = np.zeros(6, dtype).reshape(2, 3)
    for one in (value, value.T, value[:, ::2], np.zeros((), dtype), np.zeros(0, dtype)):
        held = [one, one]
        found = load_parts((dumps(held, frozen),))
        np.testing.assert_array_equal(found[0], one)
        assert (found[0].dtype, found[0].shape, found[0].flags.writeable) == (one.dtype, one.shape, False)
        assert found[0] is found[1]
        assert one.flags.writeable


def test_what_has_objects_in_it_is_as_it_was():
    found = load_parts((dumps(np.array([[1], "x"], dtype=object), frozen),))
    found[0] = 2
    assert found.tolist() == [2, "x"]


def test_bytes_and_text_are_not_copied_into_a_pickle():
    for value in (b"b" * LARGE, "t" * LARGE):
        head, *rest = dump_parts(value)
        assert len(head) < 100
        assert [bytes(part) for part in rest] == [value if isinstance(value, bytes) else value.encode()]


def test_small_buffers_stay_in_the_pickle():
    assert len(dump_parts(np.arange(10))) == 1
    np.testing.assert_array_equal(through(np.arange(10)), np.arange(10))


def test_frames_and_tables_are_read_in_place():
    frame = pd.DataFrame({"a": np.arange(LARGE, dtype="f8"), "b": np.arange(LARGE)})
    parts = dump_parts(frame)
    assert sum(map(len, parts[1:])) >= 16 * LARGE
    pd.testing.assert_frame_equal(load_parts([bytes(part) for part in parts]), frame)
    table = pa.table({"a": np.arange(LARGE)})
    parts = dump_parts(table)
    assert len(parts) > 1
    assert load_parts([bytes(part) for part in parts]).equals(table)


def test_what_needs_cloudpickle_has_its_arrays_beside_it_too():
    module = types.ModuleType("nowhere_to_import")
    exec("def twice(x): return x * 2", module.__dict__)  # noqa: S102  # a function that no other process could import
    sys.modules["nowhere_to_import"] = module
    try:
        parts = dump_parts([np.arange(LARGE), module.twice, np.ones(LARGE)])
        assert len(parts) == 3
        first, twice, second = load_parts([bytes(part) for part in parts])
    finally:
        del sys.modules["nowhere_to_import"]
    np.testing.assert_array_equal(twice(first), np.arange(LARGE) * 2)
    assert second.sum() == LARGE


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(SerializationError, match=r"the object cannot be sent: the object\['lock'\]: cannot pickle"):
        dump_parts({"lock": __import__("threading").Lock()})
