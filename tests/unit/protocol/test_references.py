"""What stands for a value that lies elsewhere: never taken for a value, nor a value for it."""

import pickle

import pytest
from msgspec.structs import replace

from scaler.errors import ProtocolError
from scaler.ids import Incarnation, ObjectId
from scaler.protocol.references import Reference, is_record, read_record, record_of

REFERENCE = Reference(ObjectId(Incarnation((1 << 64) - 1), 7), 1 << 40, "/dev/shm/scaler-store-1/ü", b"t" * 16)  # noqa: S108  # nothing is there


def test_a_record_is_what_it_was_made_of():
    record = record_of(REFERENCE)
    assert is_record(record)
    assert is_record(memoryview(record))
    assert read_record(record) == REFERENCE
    assert read_record(memoryview(record)) == REFERENCE


@pytest.mark.parametrize("value", [None, 0, b"\0", "text", [1, 2], {}])
def test_no_value_is_taken_for_a_record(value: object):
    data = pickle.dumps(value, 5)
    assert not is_record(data)
    with pytest.raises(ProtocolError, match="no reference to an object"):
        read_record(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\0junk", record_of(REFERENCE)[:-1], b"\0\x94\x92\xff\x00\x00\xa0\xc4\x00"]
)
def test_damage_is_told(data: bytes):
    with pytest.raises(ProtocolError, match="no reference to an object"):
        read_record(data)


@pytest.mark.parametrize("change", [{"size_bytes": 0}, {"token": bytes(5000)}, {"path": "p" * 5000}])
def test_what_is_no_object_is_no_record(change: dict[str, object]):
    with pytest.raises(ProtocolError):
        read_record(record_of(replace(REFERENCE, **change)))
