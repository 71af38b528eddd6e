"""Carries packets from one link to another and back, late, and loses some: `LINK LINK LOSS DELAY_S SEED`.

The kernel's own `netem` does the same where it has it; this needs nothing but raw sockets. Packets keep the header that
says what the kernel has left to do (sums, pieces), or TCP would drop them.
"""

import contextlib
import heapq
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 1, 1, 15, 23
LARGEST_BYTES = 1 << 17
IDLE_S = 1.0


def link_of(name: str) -> socket.socket:
    """All that comes in at one link, and a way out of it."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    link.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    link.bind((name, ETH_P_ALL))
    membership = struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    link.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    link.setblocking(False)
    return link


def carry(first: socket.socket, second: socket.socket, loss: float, delay_s: float, chance: random.Random) -> None:
    """Carry for ever, in order."""
    ways = {first.fileno(): (first, second), second.fileno(): (second, first)}
    poll = select.poll()
    for descriptor in ways:
        poll.register(descriptor, select.POLLIN)
    due: list[tuple[float, int, socket.socket, bytes]] = []
    number = 0
    while True:
        wait_s = max(0.0, due[0][0] - time.monotonic()) if due else IDLE_S
        for descriptor, _ in poll.poll(1000 * wait_s):
            source, sink = ways[descriptor]
            with contextlib.suppress(OSError):  # nothing is left to read
                while packet := source.recv(LARGEST_BYTES):
                    number += 1
                    if chance.random() >= loss:
                        heapq.heappush(due, (time.monotonic() + delay_s, number, sink, packet))
        while due and due[0][0] <= time.monotonic():
            _, _, sink, packet = heapq.heappop(due)
            with contextlib.suppress(OSError):  # no room: lost, as packets are
                sink.send(packet)


def main() -> None:
    """Carry, until told to end."""
    first, second, loss, delay_s, seed = sys.argv[1:]
    carry(link_of(first), link_of(second), float(loss), float(delay_s), random.Random(seed))


if __name__ == "__main__":
    main()
