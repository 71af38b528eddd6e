import errno
import mmap
import os
import socket
from collections.abc import Iterator

import pytest

from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, TicketId
from scaler.payload.calls import joined_column, single_column
from scaler.payload.nested import Standing
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.worker.line import (
    INLINE_BYTES,
    ClusterEnd,
    DropPacket,
    FunctionPacket,
    TicketPacket,
    drop_packet,
    function_packet,
    line_pair,
    receive_packet,
    send_result,
    ticket_packet,
)

BATCH = BatchId(Incarnation(2**64 - 1), 5)
FUNCTION = FunctionId(b"sixteen bytes id")
STANDING = Standing(2**16 - 1, -(2**63), Incarnation(2**64 - 1), Epoch(2**64 - 1), is_quiet=True)


class Line:
    """Both ends of a line."""

    def __init__(self) -> None:
        ours, self.theirs = line_pair()
        self.worker = self.theirs.dup()
        self.cluster = ClusterEnd(ours, self.theirs)

    def read(self) -> object:
        return receive_packet(self.worker, socket.MSG_DONTWAIT)

    def give(self, ticket: int, size: int = 10) -> None:
        column = single_column(7, b"c" * size)
        self.cluster.send(*ticket_packet(TicketId(ticket), FUNCTION, BATCH, column, STANDING))


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.cluster.close()
    made.worker.close()


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [10, 2 * INLINE_BYTES])
def test_a_ticket_carries_the_name_of_its_tasks(line: Line, size: int):
    column = single_column(7, b"c" * size)
    name = "ß" * 256
    line.cluster.send(*ticket_packet(TicketId(3), FUNCTION, BATCH, column, STANDING, name))
    assert line.read() == TicketPacket(TicketId(3), FUNCTION, BATCH, 7, 1, b"".join(column.frames()), STANDING, name)


def test_packets_arrive_whole_and_in_order(line: Line):
    line.cluster.send(*function_packet(FUNCTION, (b"first ", b"second")))
    column = joined_column(40, [b"a", b"bc"])
    line.cluster.send(*ticket_packet(TicketId(2**32 - 1), FUNCTION, BATCH, column, STANDING))
    line.cluster.send(*drop_packet(FUNCTION))
    assert [line.read() for _ in range(3)] == [
        FunctionPacket(FUNCTION, b"first second"),
        TicketPacket(TicketId(2**32 - 1), FUNCTION, BATCH, 40, 2, b"".join(column.frames()), STANDING),
        DropPacket(FUNCTION),
    ]


@pytest.mark.parametrize("value", [b"value", bytes(MAX_FRAME_BYTES)])
def test_the_inputs_of_calls_lie_behind_them(line: Line, value: bytes):
    column, inputs = joined_column(40, [b"a", b"bc"]), (value, b"more")
    line.cluster.send(*ticket_packet(TicketId(1), FUNCTION, BATCH, column, STANDING, inputs=inputs))
    content = b"".join((*column.frames(), *inputs))
    assert line.read() == TicketPacket(TicketId(1), FUNCTION, BATCH, 40, 2, content, STANDING, "", len(value) + 4)


def test_a_packet_too_large_for_the_socket_goes_through_a_file_that_is_gone_afterwards(line: Line):
    before = count_descriptors()
    frames = (bytes(MAX_FRAME_BYTES), b"end")
    line.cluster.send(*function_packet(FUNCTION, frames))
    assert line.read() == FunctionPacket(FUNCTION, b"".join(frames))
    line.cluster.send(*function_packet(FUNCTION, frames))
    line.cluster.take_back()
    assert line.read() == FunctionPacket(FUNCTION, b"".join(frames))
    assert count_descriptors() == before


def test_what_came_in_a_file_is_mapped_or_copied_where_that_cannot_be(line: Line, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many files are open")

    before = count_descriptors()
    line.give(1, MAX_FRAME_BYTES)
    packet = line.read()
    assert isinstance(packet, TicketPacket)
    assert isinstance(packet.content, memoryview)
    assert isinstance(packet.content.obj, mmap.mmap)
    monkeypatch.setattr(mmap, "mmap", fail)
    line.give(2, MAX_FRAME_BYTES)
    copied = line.read()
    assert isinstance(copied, TicketPacket)
    assert copied.content == packet.content
    del packet
    assert count_descriptors() == before


def test_what_the_socket_does_not_take_waits_and_follows_in_order(line: Line):
    for ticket in range(1, 31):
        line.give(ticket, INLINE_BYTES - 100)
    assert line.cluster.is_behind
    read = []
    while line.cluster.is_behind:
        read.append(line.read())
        line.cluster.flush()
    while len(read) < 30:
        read.append(line.read())
    assert [packet.ticket for packet in read if isinstance(packet, TicketPacket)] == list(range(1, 31))


def test_unread_tickets_are_taken_back_wherever_they_wait(line: Line):
    for ticket in range(1, 31):
        line.give(ticket, INLINE_BYTES - 100)
    line.read()
    assert line.cluster.take_back() == list(range(2, 31))
    assert not line.cluster.is_behind
    with pytest.raises(BlockingIOError):
        line.read()


def test_functions_and_orders_to_forget_them_that_were_taken_back_with_tickets_go_down_again(line: Line):
    line.cluster.send(*function_packet(FUNCTION, (b"f",)))
    line.cluster.send(*drop_packet(FUNCTION))
    line.give(1)
    assert line.cluster.take_back() == [1]
    assert [line.read(), line.read()] == [FunctionPacket(FUNCTION, b"f"), DropPacket(FUNCTION)]
    with pytest.raises(BlockingIOError):
        line.read()


def test_an_order_to_forget_a_function_that_was_defined_again_does_not_go_down_again(line: Line):
    line.cluster.send(*drop_packet(FUNCTION))
    line.cluster.send(*function_packet(FUNCTION, (b"f",)))
    line.give(1)
    assert line.cluster.take_back() == [1]
    assert line.read() == FunctionPacket(FUNCTION, b"f")
    with pytest.raises(BlockingIOError):
        line.read()


def test_the_end_of_a_line_comes_behind_all_packets(line: Line):
    for ticket in range(1, 31):
        line.give(ticket, INLINE_BYTES - 100)
    line.cluster.end_line()
    read = []
    while (packet := line.read()) is not None:
        read.append(packet)
        line.cluster.flush()
    assert len(read) == 30


def test_a_large_result_comes_up_with_its_word(line: Line):
    before = count_descriptors()
    send_result(line.worker, 5, b"v" * 3_000_000)
    send_result(line.worker, 6, b"w")
    assert line.cluster.receive_result() == (5, b"v" * 3_000_000)
    assert line.cluster.receive_result() == (6, b"w")
    assert line.cluster.receive_result() is None
    assert count_descriptors() == before
