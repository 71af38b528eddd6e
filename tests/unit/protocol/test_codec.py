"""The codec: whole messages survive it, whatever else arrives is one `ProtocolError`."""

import contextlib
import copy
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
    ChildLinked,
    ClearClient,
    CloseBatch,
    ClusterReady,
    Door,
    Explanation,
    Failure,
    Goodbye,
    Heartbeat,
    KnownTags,
    LocateObject,
    Message,
    ObjectLocated,
    OpenBatch,
    PeerPass,
    Rejected,
    ResendFrom,
    Results,
    ShutdownAnswer,
    SpanResult,
    Taken,
    TasksFailed,
    Watched,
    WorkerDied,
)
from scaler.protocol.codec import (
    BUNDLE_BYTES,
    DIRECTIONS,
    INLINE_BYTES,
    MAX_BUNDLED,
    MAX_CALL_FRAMES,
    MAX_FRAMES,
    MAX_HEADER_BYTES,
    UNSEQUENCED,
    Decoder,
    Header,
    Sendable,
    bundle,
    decode_failure,
    encode,
    encode_failure,
    pack,
)
from scaler.protocol.columns import MAX_FRAME_BYTES, MAX_VALUE_BYTES
from scaler.protocol.connection import LONGEST_TEXT
from scaler.protocol.inputs import MAX_INPUTS
from scaler.protocol.options import MAX_INDEX, MAX_RANGES
from tests.unit.protocol.examples import BATCH, BY_DIRECTION, EVERY, FAILURE, FUNCTION, OBJECT, RUN, TASK, VERSIONS

ROLES = sorted(DIRECTIONS)
DECODERS = {role: Decoder(role) for role in ROLES}
PAIRS = [(direction, message) for direction, messages in BY_DIRECTION.items() for message in messages]


def seq_of(message: Sendable) -> int:
    return 0 if type(message) in UNSEQUENCED else 5


def read(direction: str, header: bytes, frames: int = 0) -> Header:
    """What a decoder makes of one header with so many frames behind it."""
    return Decoder(direction).decode([bundle([header]), *[b""] * frames])[0]


def as_lists(value: typing.Any) -> typing.Any:
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in EVERY} == {*typing.get_args(Message), ChildLinked, *UNSEQUENCED}


@pytest.mark.parametrize(("direction", "message"), PAIRS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_a_message_comes_back_as_it_went(direction: str, message: Sendable) -> None:
    header = read(direction, encode(seq_of(message), 3, message))
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


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_of_another_role_is_refused(message: Sendable) -> None:
    for other in DIRECTIONS:
        if type(message) not in {type(allowed) for allowed in BY_DIRECTION[other]}:
            with pytest.raises(ProtocolError):
                read(other, encode(seq_of(message), 3, message))


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
        read("client", frame)


def test_too_many_frames_are_a_protocol_error() -> None:
    frame = encode(1, 0, ClearClient())
    assert read("client", frame, MAX_FRAMES).message == ClearClient()
    with pytest.raises(ProtocolError):
        read("client", frame, MAX_FRAMES + 1)


def test_a_cluster_takes_a_call_and_its_inputs_together() -> None:
    frame = encode(1, 0, Watched(watched=True))
    assert read("to-worker", frame, MAX_CALL_FRAMES).message == Watched(watched=True)
    with pytest.raises(ProtocolError):
        read("to-worker", frame, MAX_CALL_FRAMES + 1)


def test_the_largest_values_fit_a_message_with_all_that_goes_with_them() -> None:
    value = MAX_VALUE_BYTES // MAX_FRAME_BYTES
    dependencies = 8 * (1 + 3 * MAX_INPUTS) // MAX_FRAME_BYTES + 1
    assert 1 + value + dependencies <= MAX_FRAMES  # a call
    assert 4 + value <= MAX_FRAMES  # a result
    assert 1 + value + value + 1 <= MAX_CALL_FRAMES  # a call with the values that it needs


class Packet(typing.NamedTuple):
    seq: int
    ack: int
    message: Sendable
    frames: tuple[bytes, ...] = ()


def test_what_is_small_shares_a_frame_and_what_is_large_has_frames_of_its_own() -> None:
    large = bytes(INLINE_BYTES + 1)
    packets = [
        Packet(1, 0, ClearClient()),
        Packet(2, 0, ClearClient(), (b"one", b"", b"three")),
        Packet(3, 0, ClearClient(), (b"small", large)),
        Packet(4, 0, ClearClient()),
    ]
    packed = pack(packets)
    assert [len(frames) for frames in packed] == [1, 3, 1]
    assert packed[1][1:] == [b"small", large]
    headers = [header for frames in packed for header in Decoder("client").decode(frames)]
    assert [(header.seq, header.frames) for header in headers] == [(one.seq, one.frames) for one in packets]


def test_a_bundle_is_bounded_in_size_and_in_number() -> None:
    packed = pack(Packet(seq, 0, ClearClient()) for seq in range(1, MAX_BUNDLED + 3))
    assert [len(Decoder("client").decode(frames)) for frames in packed] == [MAX_BUNDLED, 2]
    packed = pack(Packet(seq, 0, ClearClient(), (bytes(INLINE_BYTES),)) for seq in range(1, 40))
    assert max(len(frames[0]) for frames in packed) <= BUNDLE_BYTES + 3
    assert sum(len(Decoder("client").decode(frames)) for frames in packed) == 39


def test_frames_behind_several_headers_belong_to_none_and_are_refused() -> None:
    two = [encode(1, 0, ClearClient()), encode(2, 0, ClearClient())]
    with pytest.raises(ProtocolError, match="belong to none"):
        Decoder("client").decode([bundle(two), b"whose"])
    with pytest.raises(ProtocolError, match="belong to none"):
        Decoder("client").decode([bundle([encode(1, 0, ClearClient(), (b"inside",))]), b"outside"])


def test_an_empty_bundle_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Decoder("client").decode([bundle([])])


def test_the_msgpack_package_reads_a_bundle() -> None:
    (frames,) = pack([Packet(1, 0, ClearClient()), Packet(2, 7, ClearClient(), (b"a", b"b"))])
    assert msgpack.unpackb(frames[0]) == [[1, 0, [18]], [2, 7, [18], [b"a", b"b"]]]


def test_a_memoryview_is_read_as_well() -> None:
    assert Decoder("client").decode([memoryview(bundle([encode(0, 0, Heartbeat(4))]))])[0].message == Heartbeat(4)


def test_fields_of_a_later_version_are_passed_over() -> None:
    frame = msgpack.packb([0, 9, [2, 4, "new", ["field"]], [], "more"])
    assert read("client", frame).message == ResendFrom(4)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(DIRECTIONS)))
def test_random_bytes_raise_nothing_else(frame: bytes, direction: str) -> None:
    with contextlib.suppress(ProtocolError):
        read(direction, frame)


def nonsense(chance: random.Random, depth: int) -> object:
    """Any value that MessagePack holds, a few levels deep at most."""
    match chance.randrange(9 if depth else 7):
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.choice((0, 1, -1, 2**31, 2**53 + 1, 2**64 - 1, -(2**63), chance.randrange(-(2**63), 2**64)))
        case 3:
            return chance.choice((0.0, -1.5, float("nan"), float("inf"), 1e308))
        case 4:
            return "".join(chance.choice("a\0é\u20ac\U0001d4b3") for _ in range(chance.randrange(6)))
        case 5:
            return bytes(chance.choice((16, chance.randrange(21))))
        case 6:
            return [chance.randrange(12) for _ in range(chance.randrange(3))]
        case 7:
            return [nonsense(chance, depth - 1) for _ in range(chance.randrange(7))]
        case _:
            return {str(n): nonsense(chance, depth - 1) for n in range(chance.randrange(4))}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_well_formed_nonsense_raises_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        fields = [nonsense(chance, 3) for _ in range(chance.randrange(9))]
        frame = msgpack.packb([chance.randint(-2, 10), 0, [chance.randint(0, 101), *fields]])
        with contextlib.suppress(ProtocolError):
            DECODERS[chance.choice(ROLES)].decode([bundle([frame])])


def test_mutated_messages_raise_nothing_else() -> None:
    chance = random.Random(7)
    refused = 0
    for _ in range(20_000):
        direction, message = chance.choice(PAIRS)
        frame = bytearray(encode(seq_of(message), 3, message))
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            read(direction, bytes(frame[: chance.randint(1, len(frame))]))
        except ProtocolError:
            refused += 1
    assert refused > 10_000


def test_a_header_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="in parts"):
        encode(1, 0, Results(BATCH, 0, 1, 0, "x" * MAX_HEADER_BYTES))


def test_as_many_ranges_as_allowed_fit_a_header() -> None:
    ranges = tuple(Range(2**32 - 2 * i - 2, 2**32 - 2 * i - 1) for i in range(MAX_RANGES))
    message = Taken(BATCH, ranges)
    assert read("client", encode(1, 0, message)).message == message


#: all else that is a whole number is a name, a count or a place in a row
MAY_BE_NEGATIVE = {"priority", "exit_code"}


def test_a_priority_and_an_exit_code_may_be_below_zero() -> None:
    assert is_read("client", 1, opened(priority=-1))
    assert is_read("worker", 1, WorkerDied(1, -9, "killed"))


def below_zero(struct: msgspec.Struct) -> typing.Iterator[tuple[str, msgspec.Struct]]:
    """The same message once for each whole number in it, which is -1 there, and what that number is called."""
    for name in struct.__struct_fields__:
        for named, value in numbers_below_zero(name, getattr(struct, name)):
            changed = copy.copy(struct)
            msgspec.structs.force_setattr(changed, name, value)
            yield named, changed


def numbers_below_zero(name: str, value: object) -> typing.Iterator[tuple[str, object]]:
    if type(value) is int:
        yield name, -1
    elif isinstance(value, msgspec.Struct):
        yield from below_zero(value)
    elif isinstance(value, tuple):
        for at, item in enumerate(value):
            for named, changed in numbers_below_zero(name, item):
                yield named, (*value[:at], changed, *value[at + 1 :])


@pytest.mark.parametrize(("direction", "message"), PAIRS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_no_name_and_no_count_of_a_message_is_below_zero(direction: str, message: Sendable) -> None:
    accepted = [name for name, changed in below_zero(message) if is_read(direction, seq_of(message), changed)]
    assert set(accepted) <= MAY_BE_NEGATIVE


def is_read(direction: str, seq: int, message: msgspec.Struct) -> bool:
    try:
        return bool(read(direction, encode(seq, 3, typing.cast("Sendable", message))))
    except ProtocolError:
        return False


BOUNDED: list[tuple[str, int, typing.Callable[[int], Sendable]]] = [
    ("client", 256, lambda size: opened(name="n" * size)),
    ("client", 256, lambda size: opened(tag="n" * size)),
    ("client", 256, lambda size: opened(durable="n" * size)),
    ("client", 256, lambda size: opened(resources=(("n" * size, 1.0),))),
    ("client", 64, lambda size: opened(resources=tuple((f"r{n}", 1.0) for n in range(size)))),
    ("worker", 64, lambda size: ClusterReady("c", "h", 1, 1, 1, (), tuple((f"r{n}", 1.0) for n in range(size)))),
    ("worker", 256, lambda size: ClusterReady("c", "h", 1, 1, 1, (), (("n" * size, 1.0),))),
    ("worker", 1024, lambda size: SpanResult(RUN, 0, 1, 0, "n" * size)),
    ("worker", 16_384, lambda size: WorkerDied(1, 1, "n" * size)),
    ("worker", 16_384, lambda size: Goodbye("n" * size)),
    ("to-client", 1024, lambda size: Results(BATCH, 0, 1, 0, "n" * size)),
    ("to-client", 16_384, lambda size: ShutdownAnswer("n" * size)),
    ("to-client", 16_384, lambda size: Explanation(TASK, "n" * size)),
    ("to-client", 256, lambda size: KnownTags(("n" * size,))),
    ("to-worker", 256, lambda size: ObjectLocated(OBJECT, 1, (Door("n" * size, ""),))),
    ("to-worker", 256, lambda size: PeerPass("n" * size, "")),
    ("to-client", 256, lambda size: Rejected("n" * size, "", VERSIONS)),
    ("to-client", 16_384, lambda size: Rejected("", "n" * size, VERSIONS)),
    ("to-client", 16_384, lambda size: failing(text="n" * size)),
    ("to-client", 1024, lambda size: failing(place="n" * size)),
    ("to-client", 16_384, lambda size: failing(stderr="n" * size)),
    ("to-client", 16_384, lambda size: failing(stack="n" * size)),
]


def opened(**options: typing.Any) -> OpenBatch:
    return OpenBatch(BATCH, FUNCTION, BatchOptions(**options))


def failing(text: str = "", **fields: str) -> TasksFailed:
    return TasksFailed(BATCH, (Range(0, 1),), Failure(Cause.DIED, text, **fields))  # type: ignore[arg-type]  # texts


@pytest.mark.parametrize(("direction", "most", "build"), BOUNDED)
def test_what_people_read_is_no_longer_than_they_would(
    direction: str, most: int, build: typing.Callable[[int], Sendable]
) -> None:
    longest = build(most)
    assert read(direction, encode(seq_of(longest), 0, longest)).message == longest
    with pytest.raises(ProtocolError, match=f"of length <= {most}"):
        read(direction, encode(seq_of(longest), 0, build(most + 1)))


def test_a_failure_of_a_result_is_no_longer_either() -> None:
    with pytest.raises(ProtocolError, match="of length <= 16384"):
        decode_failure(encode_failure(Failure(Cause.DIED, "n" * 16_385)))


def test_the_longest_failure_fits_a_header_with_as_many_ranges_as_allowed() -> None:
    ranges = tuple(Range(2**32 - 2 * i - 2, 2**32 - 2 * i - 1) for i in range(MAX_RANGES))
    text = "\U0001d4b3" * LONGEST_TEXT
    failure = Failure(Cause.DIED, text, text[:1024], -(2**31), text, text, 2**31)
    message = TasksFailed(BATCH, ranges, failure)
    assert read("to-client", encode(2**62, 2**62, message)).message == message


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
    results = read("worker", encode(1, 0, SpanResult(RUN, 0, 4, 100, "host/1"))).message
    assert type(results.run) is RunId
    located = read("worker", encode(1, 0, LocateObject(OBJECT))).message
    assert type(located.object) is ObjectId
