"""The accepting end of all links in the hands of a test, and what it is told and asks for, written short."""

from scaler.ids import BatchId, Epoch, Incarnation, incarnation_of
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.link.events import (
    AcceptedEvent,
    AcceptedOutput,
    ArrivedFrom,
    ConnectionOpened,
    Joined,
    Refused,
    TransmitOn,
)
from scaler.protocol import CloseBatch, Heartbeat, Hello, KnownTags, Rejected, Versions
from scaler.protocol.codec import Header, Sendable
from scaler.protocol.columns import Frame

VERSIONS = Versions(1, "3.11", 5, "3.11.7", "0.1.0")
OTHERS = Versions(1, "3.12", 5, "3.12.1", "0.1.0")
EPOCH = Epoch(99)
SECRETS = {incarnation_of(secret): secret for secret in (b"ann's", b"bob's")}
ANN, BOB = SECRETS
TAGS = KnownTags(("gpu",))


class Links:
    """All links of a scheduler, and their clock."""

    def __init__(self, generation: int = 2, most_peers: int = 100) -> None:
        silence_s = {"client": 60.0, "operator": 60.0, "worker": 30.0}
        self.links = AcceptedLinks(AcceptedConfig(EPOCH, generation, VERSIONS, silence_s, most_peers))
        self.now = 0.0

    def tell(self, *events: AcceptedEvent, at: float | None = None) -> list[AcceptedOutput]:
        if at is not None:
            self.now = at
        return self.links.handle(events, self.now)

    def at(self, *times: float) -> list[tuple[float, list[AcceptedOutput]]]:
        """What happens by itself at these times; it is known beforehand when to look."""
        found = []
        for time in times:
            due = self.links.next_deadline()
            outputs = self.tell(at=time)
            assert not outputs or (due is not None and due <= time)
            found.append((time, outputs))
        return found


def close(n: int) -> CloseBatch:
    return CloseBatch(BatchId(ANN, n), 5)


def opened(connection: int, role: str = "client", name: str = "ann", key: str = "k") -> ConnectionOpened:
    return ConnectionOpened(connection, role, name, key)


def arrived(connection: int, seq: int, ack: int, message: Sendable, frames: tuple[Frame, ...] = ()) -> ArrivedFrom:
    return ArrivedFrom(connection, Header(seq, ack, message), frames)


def hello(
    connection: int,
    who: Incarnation = ANN,
    *,
    role: str = "client",
    peer: int = 0,
    received: int = 0,
    generation: int = 0,
    versions: Versions = VERSIONS,
    secret: bytes | None = None,
) -> ArrivedFrom:
    shown = SECRETS[who] if secret is None else secret
    said = Hello(role, who, Incarnation(peer), received, generation, versions, "notebook", secret=shown)
    return arrived(connection, 0, 0, said)


def answer(
    connection: int, who: Incarnation = ANN, received: int = 0, generation: int = 2, *, resumed: bool = False
) -> TransmitOn:
    ours = Hello("scheduler", Incarnation(EPOCH), who, received, generation, VERSIONS, resumed=resumed)
    return TransmitOn(connection, 0, 0, ours, ())


def beat(connection: int, sent: int = 0, ack: int = 0, silence_s: float | None = None) -> TransmitOn:
    return TransmitOn(connection, 0, ack, Heartbeat(sent, silence_s), ())


def rejected(connection: int, code: str, text: str, name: str = "ann") -> list[AcceptedOutput]:
    return [TransmitOn(connection, 0, 0, Rejected(code, text, VERSIONS), ()), Refused(connection, name, text)]


def joined(who: Incarnation = ANN, role: str = "client", key_name: str = "ann") -> Joined:
    return Joined(who, role, "notebook", key_name)


def standing(*, at: float = 0.0) -> Links:
    """Ann is connected as 1."""
    links = Links()
    assert links.tell(opened(1), hello(1), at=at) == [answer(1), joined()]
    return links
