"""The line between a cluster and one worker: packets down, large results up; the kernel keeps their borders.

A packet that nobody has read yet belongs to whoever reads it first: the cluster keeps a copy of the worker's end, and
takes unread tickets back by reading them itself.
"""

import array
import contextlib
import errno
import mmap
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from scaler.ids import BatchId, FunctionId, Incarnation, TicketId
from scaler.payload.nested import Standing
from scaler.protocol.columns import ArgumentColumn, Frame

#: packets up to this size go through the socket; the content of larger ones through a file, whose descriptor goes
INLINE_BYTES = 48 << 10
_READ_BYTES = INLINE_BYTES + 4096

TICKET, FUNCTION, DROP = 1, 2, 3
#: kind, whether the content is in a file, bytes of the name behind the header, depth, whether it is quiet, whether its
#: results go by value, ticket, priority, root, epoch, function, batch owner and number, first index, count, bytes of
#: inputs at the end
_HEADER = struct.Struct("<BBHH??IqQQ16sQQQIQ")
_PRIORITIES = (-(1 << 63), (1 << 63) - 1)
#: what announces a large result: ticket and offset
RESULT = struct.Struct("<Q")
#: what announces a line of a client inside a task: ticket and offset, and the client's name
CHILD = struct.Struct("<QQ")
#: no room in the socket, or too many descriptors, here or on their way through sockets: it passes
SHORTAGES = frozenset((errno.EAGAIN, errno.ETOOMANYREFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
SHORTAGE_NAP_S = 0.005


@dataclass(frozen=True, slots=True)
class TicketPacket:
    """Calls to run: the offsets and bytes of a column behind one another, and behind these so many bytes of inputs.

    `name` is what their tasks are called.
    """

    ticket: TicketId
    function: FunctionId
    batch: BatchId
    lo: int
    count: int
    content: Frame
    standing: Standing
    name: str = ""
    input_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FunctionPacket:
    """A function that following tickets name."""

    function: FunctionId
    content: Frame


@dataclass(frozen=True, slots=True)
class DropPacket:
    """A function no ticket will name without defining it again."""

    function: FunctionId


@dataclass(frozen=True, slots=True)
class ChildLine:
    """The line of a client inside the task with this word; None where this process could not take it."""

    who: int
    child: Incarnation
    end: socket.socket | None


Packet = TicketPacket | FunctionPacket | DropPacket


def line_pair() -> tuple[socket.socket, socket.socket]:
    """The cluster's end and the worker's end."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def ticket_packet(
    ticket: TicketId,
    function: FunctionId,
    batch: BatchId,
    column: ArgumentColumn,
    standing: Standing,
    name: str = "",
    inputs: tuple[Frame, ...] = (),
) -> tuple[bytes, Sequence[Frame]]:
    """The header and content of a ticket; priorities beyond 64 bits are the last ones within."""
    depth, priority, root, epoch, *flags = standing
    priority = min(max(priority, _PRIORITIES[0]), _PRIORITIES[1])
    text = name.encode()
    size = sum(map(len, inputs)) if inputs else 0
    who = (batch.owner, batch.n, column.lo, column.count, size)
    header = _HEADER.pack(TICKET, 0, len(text), depth, *flags, ticket, priority, root, epoch, function, *who)
    return header + text, column.frames() + inputs


def function_packet(function: FunctionId, frames: Sequence[Frame]) -> tuple[bytes, Sequence[Frame]]:
    """The header and content of a function."""
    return _HEADER.pack(FUNCTION, 0, 0, 0, False, False, 0, 0, 0, 0, function, 0, 0, 0, 0, 0), frames


def drop_packet(function: FunctionId) -> tuple[bytes, Sequence[Frame]]:
    """The header of an order to forget a function."""
    return _HEADER.pack(DROP, 0, 0, 0, False, False, 0, 0, 0, 0, function, 0, 0, 0, 0, 0), ()


def _function_of(header: bytes) -> FunctionId:
    return FunctionId(_HEADER.unpack_from(header)[10])


def receive_packet(end: socket.socket, flags: int = 0) -> Packet | None:
    """The next packet, its content read in; None at the end of the line. Raises `BlockingIOError` as `recv` does."""
    data, descriptors = receive_with_descriptors(end, _READ_BYTES, 1, flags)
    if not data:
        return None
    kind, in_file, name_bytes, depth, is_quiet, by_value, ticket, *rest = _HEADER.unpack_from(data)
    priority, root, epoch, function, *who, inputs = rest
    content_at = _HEADER.size + name_bytes
    content: Frame = memoryview(data)[content_at:]
    if in_file:
        content = map_file(descriptors[0])
    if kind == TICKET:
        standing, (owner, n, lo, count) = Standing(depth, priority, root, epoch, is_quiet, by_value), who
        batch, name = BatchId(owner, n), data[_HEADER.size : content_at].decode()
        return TicketPacket(TicketId(ticket), FunctionId(function), batch, lo, count, content, standing, name, inputs)
    if kind == FUNCTION:
        return FunctionPacket(FunctionId(function), content)
    return DropPacket(FunctionId(function))


def receive_with_descriptors(end: socket.socket, size_bytes: int, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """What came and the descriptors with it, which programs started from here do not inherit; b"" at the end.

    `socket.recv_fds` would do, if it passed its flags on.
    """
    received = array.array("i")
    space = socket.CMSG_SPACE(most * received.itemsize)
    try:
        data, messages, _, _ = end.recvmsg(size_bytes, space, flags | socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:  # the other side ended with something unread
        return b"", []
    for _, _, content in messages:
        received.frombytes(content[: len(content) - len(content) % received.itemsize])
    return data, received.tolist()


def send_with_descriptors(end: socket.socket, parts: Sequence[Frame], descriptors: Sequence[int]) -> None:
    """Send one packet, and these descriptors with it."""
    end.sendmsg(parts, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else [])


def write_file(frames: Sequence[Frame]) -> int:
    """A nameless file with these bytes, as a descriptor."""
    descriptor = os.memfd_create("scaler-value", os.MFD_CLOEXEC)
    for frame in frames:
        rest = memoryview(frame).cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return descriptor


def read_file(descriptor: int) -> bytes:
    """The bytes of such a file, and the end of it."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def map_file(descriptor: int) -> memoryview:
    """The bytes of such a file of our cluster, and the end of its descriptor: cheaper than a copy of them.

    Not for what a worker has written: user code could cut it off, and whoever looks at it would end by SIGBUS.
    """
    try:
        content = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    except OSError:  # it takes a descriptor of its own
        return memoryview(read_file(descriptor))
    os.close(descriptor)
    return memoryview(content)


class ClusterEnd:
    """The cluster's side of a line: sends what the socket takes, keeps the rest, takes unread tickets back."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        ours.setblocking(False)
        self._socket = ours
        self._theirs = theirs
        #: what the socket has not taken yet, in order
        self._outbox: deque[tuple[bytes, Sequence[Frame]]] = deque()
        #: the functions that were sent, and not the order to forget them
        self._functions: set[FunctionId] = set()
        self._is_ending = False

    @property
    def is_behind(self) -> bool:
        """Whether packets wait here: `flush` them when the worker may have read others."""
        return bool(self._outbox)

    def send(self, header: bytes, frames: Sequence[Frame]) -> None:
        """Give a packet to the worker, now or when the socket has room."""
        if header[0] == FUNCTION:
            self._functions.add(_function_of(header))
        elif header[0] == DROP:
            self._functions.discard(_function_of(header))
        self._outbox.append((header, frames))
        if len(self._outbox) == 1:
            self.flush()

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._outbox and self._send(*self._outbox[0]):
            self._outbox.popleft()
        if self._is_ending and not self._outbox:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _send(self, header: bytes, frames: Sequence[Frame]) -> bool:
        try:
            if sum(map(len, frames)) <= INLINE_BYTES:
                self._socket.sendmsg([header, *frames])
            else:
                send_in_file(self._socket, [header[:1] + b"\x01" + header[2:]], frames)
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            return False
        return True

    def take_back(self) -> list[TicketId]:
        """The tickets nobody has read: they are ours again.

        Functions among them go down the line once more; a worker that read a ticket just behind one waits for it.
        So do orders to forget a function, but for those that a new definition follows, which a worker may have read.
        """
        unread: list[TicketId] = []
        again: list[tuple[bytes, Sequence[Frame]]] = []
        while (packet := self._take_packet()) is not None:
            match packet:
                case TicketPacket():
                    unread.append(packet.ticket)
                case FunctionPacket(function, content):
                    again.append(function_packet(function, [content]))
                case DropPacket(function):
                    if function not in self._functions:
                        again.append(drop_packet(function))
        for header, frames in self._outbox:
            kind, _, _, _, _, _, ticket, *_ = _HEADER.unpack_from(header)
            if kind == TICKET:
                unread.append(TicketId(ticket))
            elif kind == FUNCTION or _function_of(header) not in self._functions:
                again.append((header, frames))
        self._outbox = deque(again)
        self.flush()
        return unread

    def _take_packet(self) -> Packet | None:
        try:
            return receive_packet(self._theirs, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def receive_result(self) -> "tuple[int, bytes] | ChildLine | None":
        """A large result the worker sent up: its word and bytes; or the line of a client; None if there is neither."""
        try:
            data, descriptors = receive_with_descriptors(self._socket, CHILD.size, 1)
        except BlockingIOError:
            return None
        if not data:
            return None
        if len(data) == CHILD.size:
            who, child = CHILD.unpack(data)
            end = socket.socket(fileno=descriptors[0]) if descriptors else None  # none are left here
            return ChildLine(who, Incarnation(child), end)
        (who,) = RESULT.unpack(data)
        return who, read_file(descriptors[0])

    def end_line(self) -> None:
        """No more packets: the worker ends when it has read all there are."""
        self._is_ending = True
        self.flush()

    def close(self) -> None:
        """Give both ends back."""
        self._socket.close()
        self._theirs.close()


#: what is sent up as a large result with this word is why what comes before the first task failed
NOT_BEGUN = 0


def send_result(end: socket.socket, who: int, value: bytes) -> None:
    """The worker's side of `ClusterEnd.receive_result`; waits while there is no room."""
    while True:
        try:
            return send_in_file(end, [RESULT.pack(who)], [value])
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            time.sleep(SHORTAGE_NAP_S)


def send_child(end: socket.socket, who: int, child: Incarnation, line: socket.socket) -> None:
    """The worker's side of `ClusterEnd.receive_result` for the line of a client; waits while there is no room."""
    while True:
        try:
            return send_with_descriptors(end, [CHILD.pack(who, child)], [line.fileno()])
        except OSError as error:
            if error.errno not in SHORTAGES:
                raise
            time.sleep(SHORTAGE_NAP_S)


def send_in_file(end: socket.socket, parts: Sequence[Frame], content: Sequence[Frame]) -> None:
    """Send one packet, and with it a file that has the content."""
    descriptor = write_file(content)
    try:
        send_with_descriptors(end, parts, [descriptor])
    finally:
        os.close(descriptor)
