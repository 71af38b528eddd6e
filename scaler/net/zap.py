"""The door of a socket that listens: ZAP answers, for each CURVE key that knocks, whether it is authorised."""

from collections.abc import Collection, Mapping
from pathlib import Path

import zmq
from zmq.utils import z85

from scaler.net.keys import Authorized, KeyRing
from scaler.net.transport import TurnedAway
from scaler.net.zmq_sockets import readable

_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"scaler"


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

    def refresh(self) -> bool:
        """Look at the directory again; whether anything changed."""
        before, self.authorized = self.authorized, self._ring.read()
        return self.authorized != before


class ZapDoor:
    """Answers the ZAP requests of one context; libzmq asks before any message of a new connection is taken in."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", roles: Collection[str]) -> None:
        self._roles = roles
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ENDPOINT)

    def answer(self, authorized: Mapping[bytes, Authorized]) -> list[TurnedAway]:
        """Answer all who wait; those who were turned away."""
        turned_away: list[TurnedAway] = []
        while readable(self.socket):
            request = self.socket.recv_multipart(zmq.NOBLOCK)
            version, sequence, _domain, address, _identity, mechanism, *credentials = request
            key = z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
            known = authorized.get(key)
            if known is not None and known.role in self._roles:
                self.socket.send_multipart([version, sequence, b"200", b"OK", key, b""])
                continue
            self.socket.send_multipart([version, sequence, b"400", b"not authorised", b"", b""])
            reason = "its key is not authorised" if known is None else f"a {known.role} key may not enter here"
            turned_away.append(TurnedAway(address.decode(errors="replace"), reason))
        return turned_away
