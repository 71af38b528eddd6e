"""Knocks at a scheduler without being let in: `ADDRESS HOW A_SECOND SECONDS [KEY_FILE [SERVER_KEY]]`.

`HOW` is the mechanism that is spoken, or `garbage`. Says when it begins, and at the end as a line of JSON how often it
knocked, how often that was ended by the other side, how long the slowest took, and how often it was let in.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from scaler.net.keys import read_key_file

AT_ONCE = 200
#: a knock that is not answered in this time counts as one that was not ended
PATIENCE_S = 5.0
#: what a client says first on a connection without security, and with a name and a password
COMMANDS = {"NULL": b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER", "PLAIN": b"\x05HELLO\x04root\x06secret"}
ENDED = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


def greeting(mechanism: str) -> bytes:
    """What a peer that speaks ZMTP 3 says first, and its first command at once."""
    command = COMMANDS[mechanism]
    head = b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.encode().ljust(20, b"\0") + bytes(32)
    return head + b"\x04" + len(command).to_bytes(1, "big") + command


class Knocker:
    """One who knocks, in one way, and counts."""

    def __init__(self, address: str, how: str, keys: list[str]) -> None:
        self._address = address
        self._how = how
        self._context = zmq.asyncio.Context()
        self._key = read_key_file(Path(keys[0])) if keys else None
        self._server = keys[1].encode() if keys[1:] else self._key and self._key.server
        self.knocked = self.ended = self.let_in = 0
        self.slowest_s = 0.0

    async def knock(self) -> None:
        """Knock once."""
        self.knocked += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await (self._by_key() if self._key else self._bare())
        except TimeoutError:
            return
        except ConnectionError:
            pass
        self.ended += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    async def _bare(self) -> None:
        host, _, port = self._address.removeprefix("tcp://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(greeting(self._how) if self._how in COMMANDS else b"!" + os.urandom(99))
            while await reader.read(4096):
                pass
        finally:
            writer.close()

    async def _by_key(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.reconnect_ivl = -1
        assert self._key is not None
        socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = (
            self._key.public,
            self._key.secret,
            self._server,
        )
        monitor = socket.get_monitor_socket(ENDED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
        try:
            socket.connect(self._address)
            event = int.from_bytes((await monitor.recv_multipart())[0][:2], "little")
            self.let_in += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        finally:
            socket.disable_monitor()
            monitor.close(linger=0)
            socket.close()


def _give_up(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A knock that fails on this side makes all figures worthless."""
    print(context, file=sys.stderr, flush=True)
    os._exit(1)


async def knock_on(knocker: Knocker, a_second: float, seconds: float) -> None:
    """Knock as often as is wanted, or as can be."""
    started = time.monotonic()
    asyncio.get_running_loop().set_exception_handler(_give_up)
    under_way: set[asyncio.Task[None]] = set()
    while (passed_s := time.monotonic() - started) < seconds:
        while knocker.knocked < passed_s * a_second and len(under_way) < AT_ONCE:
            task = asyncio.create_task(knocker.knock())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(asyncio.Task.result)
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
    await asyncio.gather(*under_way)


def main() -> None:
    """Knock, and say what came of it."""
    address, how, a_second, seconds, *keys = sys.argv[1:]
    knocker = Knocker(address, how, keys)
    print("begin", flush=True)
    asyncio.run(knock_on(knocker, float(a_second), float(seconds)))
    told = {"knocked": knocker.knocked, "ended": knocker.ended, "let_in": knocker.let_in}
    print(json.dumps(told | {"slowest_s": knocker.slowest_s}), flush=True)
    os._exit(0)  # contexts with many closed sockets take their time


if __name__ == "__main__":
    main()
