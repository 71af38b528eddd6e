"""The door of a socket that listens: ZAP answers, for each CURVE key that knocks, whether it is authorised."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

import zmq
from zmq.utils import z85

from scaler.net.keys import Authorized, KeyRing
from scaler.net.zmq_sockets import readable

_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"scaler"


class Keys(Protocol):
    """A server's own pair, and who may connect to it."""

    public: bytes
    secret: bytes
    authorized: Mapping[bytes, Authorized]


class OneKey:
    """A pair made for one process, and a single key that may connect: that of workers who know it; none at first."""

    def __init__(self, public: bytes, secret: bytes) -> None:
        self.public = public
        self.secret = secret
        self.authorized: Mapping[bytes, Authorized] = {}

    def admit(self, key: bytes) -> None:
        """Only who shows this may connect from now on, and stay."""
        self.authorized = {key: Authorized("worker", "peer")}


class Curve:
    """The server's secret and who may connect: read from a key directory, and again on `refresh`."""

    def __init__(self, directory: Path, public: bytes, secret: bytes) -> None:
        self._ring = KeyRing(directory)
        self.public = public
        self.secret = secret
        self.authorized: Mapping[bytes, Authorized] = self._ring.read()

    @property
    def problem(self) -> str:
        """Why nobody may connect; "" if somebody may."""
        return self._ring.problem

    def refresh(self) -> None:
        """Look at the directory again."""
        self.authorized = self._ring.read()

    def has_revoked(self, before: Mapping[bytes, Authorized]) -> bool:
        """Whether a key that was authorised is so no more, or as something else."""
        return any(self.authorized.get(key) != known for key, known in before.items())


class ZapDoor:
    """Answers the ZAP requests of one context; libzmq asks before any message of a new connection is taken in."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", roles: Collection[str]) -> None:
        self._roles = roles
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ENDPOINT)

    def answer(self, authorized: Mapping[bytes, Authorized], note: Callable[[str, str], None]) -> None:
        """Answer all who wait; of each `note` is told just before: its host, and why it is turned away, or ""."""
        while readable(self.socket):
            request = self.socket.recv_multipart(zmq.NOBLOCK)
            version, sequence, _domain, address, _identity, mechanism, *credentials = request
            key = z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
            known = authorized.get(key)
            is_welcome = known is not None and known.role in self._roles
            refusal = "its key is not authorised" if known is None else f"a {known.role} key may not enter here"
            note(address.decode(errors="replace").partition("%")[0], "" if is_welcome else refusal)
            answer = [b"200", b"OK", key, b""] if is_welcome else [b"400", b"not authorised", b"", b""]
            self.socket.send_multipart([version, sequence, *answer])
