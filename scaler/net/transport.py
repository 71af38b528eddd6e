"""What a transport offers to a shell: multipart messages of opaque frames, and news of connections.

Nothing here blocks. A shell watches `filenos()` for reading, calls `receive` until `pending()` is false, and only then
sleeps: the descriptors tell of changes, not of what is left to read.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

Frame = bytes | memoryview

#: a frame beyond this ends its connection; the protocol's own limit is half of it
MAX_FRAME_BYTES = 2 << 20


class Identity(Struct, frozen=True):
    """What a handshake proved: the role and name a key is authorised under; role "anyone" where no key is needed."""

    role: str
    name: str
    key: str


class Opened(Struct, frozen=True):
    """A connection was accepted; it comes before the connection's first `Arrived`. `address` is for people."""

    connection: int
    identity: Identity
    address: str = ""


class Arrived(Struct, frozen=True):
    """A message came; `connection` is 0 on a dialler."""

    connection: int
    frames: list[Frame]


class Lost(Struct, frozen=True):
    """A connection is gone; `refused`: for its key, which the other side did not accept, or we accept no longer."""

    connection: int
    reason: str
    refused: bool = False


class TurnedAway(Struct, frozen=True):
    """Somebody failed the handshake, or showed a key that is not authorised."""

    address: str
    reason: str


class Connected(Struct, frozen=True):
    """A dialler's connection stands and its handshake is done."""


ListenerEvent = Opened | Arrived | Lost | TurnedAway
DialerEvent = Connected | Arrived | Lost


class Listener(Protocol):
    """Accepts connections at one address."""

    @property
    def address(self) -> str:
        """Where it really listens: a port of 0 is filled in."""
        ...

    def filenos(self) -> list[int]:
        """The descriptors to watch for reading."""
        ...

    def receive(self, limit: int) -> list[ListenerEvent]:
        """What has happened, about `limit` events at most; all that a connection brought comes before its `Lost`."""
        ...

    def pending(self) -> bool:
        """Whether `receive` would return something now."""
        ...

    def send(self, connection: int, frames: Sequence[Frame]) -> bool:
        """Queue a message; False if that connection is gone, of which `Lost` tells if it has not yet."""
        ...

    def cut_off(self, connection: int) -> None:
        """Close one connection and no other; nothing more of it is told, no `Lost` either."""
        ...

    def keep_house(self) -> None:
        """To be called once a second: cut off whose key was revoked, as `Lost` tells, and who only holds a place."""
        ...

    def close(self) -> None:
        """Give everything back; queued messages that the kernel has not taken are dropped. Closing again is nothing."""
        ...


class Dialer(Protocol):
    """One connection to a listener, from `dial` to its end; a new one needs a new dialler.

    It tells `Connected` at most once and `Lost` exactly once if the connection fails or ends; close it then.
    """

    def filenos(self) -> list[int]:
        """The descriptors to watch for reading."""
        ...

    def receive(self, limit: int) -> list[DialerEvent]:
        """What has happened, about `limit` events at most; all that a connection brought comes before its `Lost`."""
        ...

    def pending(self) -> bool:
        """Whether `receive` would return something now."""
        ...

    def send(self, frames: Sequence[Frame]) -> None:
        """Queue a message."""
        ...

    def close(self) -> None:
        """End the connection; closing again is nothing."""
        ...
