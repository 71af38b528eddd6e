"""The codec: whole messages survive it, whatever else arrives is one `ProtocolError`."""

import random
import typing

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.errors import ProtocolError
from scaler.ids import ObjectId, Range, RunId
from scaler.protocol import (
    BatchOptions,
    Cause,
    ClearClient,
    CloseBatch,
    ClusterReady,
    Failure,
    Heartbeat,
    LocateObject,
    Message,
    ResendFrom,
    Results,
    SpanResult,
    Taken,
)
from scaler.protocol.codec import (
    DIRECTIONS,
    MAX_FRAMES,
    MAX_HEADER_BYTES,
    UNSEQUENCED,
    Decoder,
    Sendable,
    decode_failure,
    encode,
    encode_failure,
)
from scaler.protocol.options import MAX_INDEX, MAX_RANGES
from tests.unit.protocol.examples import BATCH, BY_DIRECTION, EVERY, FAILURE, OBJECT, RUN

PAIRS = [(direction, message) for direction, messages in BY_DIRECTION.items() for message in messages]


def seq_of(message: Sendable) -> int:
    return 0 if type(message) in UNSEQUENCED else 5


def as_lists(value: typing.Any) -> typing.Any:
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in EVERY} == {*typing.get_args(Message), *UNSEQUENCED}


@pytest.mark.parametrize(("direction", "message"), PAIRS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_a_message_comes_back_as_it_went(direction: str, message: Sendable) -> None:
    header = Decoder(direction).decode(encode(seq_of(message), 3, message))
    assert (header.seq, header.ack, header.message) == (seq_of(message), 3, message)
    assert type(header.message) is type(message)


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_the_msgpack_package_reads_the_same(message: Sendable) -> None:
    plain = as_lists(msgspec.to_builtins(message, builtin_types=(bytes,)))
    assert msgpack.unpackb(encode(5, 3, message)) == [5, 3, plain]
    assert plain[0] == type(message).__struct_config__.tag


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_every_message_says_in_its_docstring_what_it_is_for(message: Sendable) -> None:
    assert (type(message).__doc__ or "").rstrip().endswith(".")


def test_tags_are_given_once() -> None:
    tags = [type(message).__struct_config__.tag for message in EVERY]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(("direction", "message"), PAIRS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_a_message_of_another_role_is_refused(direction: str, message: Sendable) -> None:
    for other in DIRECTIONS:
        if type(message) not in {type(allowed) for allowed in BY_DIRECTION[other]}:
            with pytest.raises(ProtocolError):
                Decoder(other).decode(encode(seq_of(message), 3, message))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 0]),
        msgpack.packb([1, 0, [18], 4])[:-2],
        msgpack.packb([-1, 0, [18]]),
        msgpack.packb([1, -1, [18]]),
        msgpack.packb([1, 0, [1, 5]]),  # a heartbeat has no number
        msgpack.packb([0, 0, [18]]),  # everything else has one
        msgpack.packb([1, 0, [250]]),
        msgpack.packb([1, 0, ["ClearClient"]]),
        msgpack.packb([1, 0, {"type": 18}]),
        msgpack.packb([1, 0, [13, [1, 2], -1]]),
        msgpack.packb([1, 0, [16, [1, 2], [[5, 4]]]]),
        msgpack.packb([1, 0, [16, [1, 2], [[-1, 4]]]]),
        msgpack.packb([1, 0, [16, [1, 2], [[0, MAX_INDEX + 1]]]]),
        msgpack.packb([1, 0, [16, [1, 2], [[0, 1]] * (MAX_RANGES + 1)]]),
        msgpack.packb([1, 0, [12, [1, 2], 0, 0]]),
        msgpack.packb([1, 0, [11, [1, 2], bytes(16), ["", None, [["gpu", float("nan")]]]]]),
        msgpack.packb([1, 0, [11, [1, 2], bytes(16), ["", None, [], 0, 0, None, float("inf")]]]),
        b"\x93\x01\x00" + b"\x91" * 100_000,
        b"\x93\x01\x00" + b"\xdd\xff\xff\xff\xff",
        bytes(MAX_HEADER_BYTES + 1),
    ],
    ids=lambda frame: frame[:12].hex(),
)
def test_garbage_is_a_protocol_error(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder("client").decode(frame)


def test_too_many_frames_are_a_protocol_error() -> None:
    frame = encode(1, 0, ClearClient())
    assert Decoder("client").decode(frame, MAX_FRAMES).message == ClearClient()
    with pytest.raises(ProtocolError):
        Decoder("client").decode(frame, MAX_FRAMES + 1)


def test_a_memoryview_is_read_as_well() -> None:
    assert Decoder("client").decode(memoryview(encode(0, 0, Heartbeat(4)))).message == Heartbeat(4)


def test_fields_of_a_later_version_are_passed_over() -> None:
    frame = msgpack.packb([0, 9, [2, 4, "new", ["field"]], "more"])
    assert Decoder("client").decode(frame).message == ResendFrom(4)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(DIRECTIONS)))
def test_random_bytes_raise_nothing_else(frame: bytes, direction: str) -> None:
    try:
        Decoder(direction).decode(frame)
    except ProtocolError as error:
        assert str(error)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(-2, 10), st.integers(0, 101), st.lists(JSON, max_size=8), st.sampled_from(sorted(DIRECTIONS)))
def test_well_formed_nonsense_raises_nothing_else(seq: int, tag: int, fields: list[object], direction: str) -> None:
    try:
        Decoder(direction).decode(msgpack.packb([seq, 0, [tag, *fields]]))
    except ProtocolError as error:
        assert str(error)


def test_mutated_messages_raise_nothing_else() -> None:
    chance = random.Random(7)
    refused = 0
    for _ in range(20_000):
        direction, message = chance.choice(PAIRS)
        frame = bytearray(encode(seq_of(message), 3, message))
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            Decoder(direction).decode(bytes(frame[: chance.randint(1, len(frame))]))
        except ProtocolError:
            refused += 1
    assert refused > 10_000


def test_a_header_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="in parts"):
        encode(1, 0, Results(BATCH, 0, 1, 0, "x" * MAX_HEADER_BYTES))


def test_as_many_ranges_as_allowed_fit_a_header() -> None:
    ranges = tuple(Range(2**32 - 2 * i - 2, 2**32 - 2 * i - 1) for i in range(MAX_RANGES))
    message = Taken(BATCH, ranges)
    assert Decoder("client").decode(encode(1, 0, message)).message == message


@pytest.mark.parametrize(
    "build",
    [
        lambda: Taken(BATCH, (Range(3, 3),)),
        lambda: Results(BATCH, 4, 2, 0),
        lambda: CloseBatch(BATCH, -1),
        lambda: BatchOptions(timeout_s=float("nan")),
        lambda: BatchOptions(retries=-1),
        lambda: BatchOptions(resources=(("gpu", -1.0),)),
        lambda: ClusterReady("c", "h", 1, workers=-1, slots=0),
        lambda: ClusterReady("c", "h", 1, workers=1, slots=1, ends_in_s=float("nan")),
    ],
)
def test_half_built_messages_do_not_exist(build: typing.Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="is"):
        build()


def test_a_failure_comes_back_as_it_went() -> None:
    assert decode_failure(encode_failure(FAILURE)) == FAILURE
    assert decode_failure(memoryview(encode_failure(Failure(Cause.WALLTIME, "")))) == Failure(Cause.WALLTIME, "")


@pytest.mark.parametrize("data", [b"", b"\xc1", msgpack.packb(["no cause", ""]), b"\x91" * 50_000])
def test_what_is_no_failure_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_failure(data)


def test_ids_come_back_as_their_own_types() -> None:
    results = Decoder("worker").decode(encode(1, 0, SpanResult(RUN, 0, 4, 100, "host/1"))).message
    assert type(results.run) is RunId
    located = Decoder("worker").decode(encode(1, 0, LocateObject(OBJECT))).message
    assert type(located.object) is ObjectId
