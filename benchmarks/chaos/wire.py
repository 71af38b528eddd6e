"""A wire that writes down what it carries: a TCP proxy before a scheduler."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

PIECE_BYTES = 1 << 16


class Wire:
    """Listens on a port of its own and carries every connection on; both directions go into one file, in pieces."""

    def __init__(self, address: str, path: Path) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._there = (host, int(port))
        self._file = path.open("wb")
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            self._file.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._there)
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one end hung up
            while piece := source.recv(PIECE_BYTES):
                with self._lock:
                    if not self._file.closed:
                        self._file.write(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
