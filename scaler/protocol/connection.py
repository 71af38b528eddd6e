"""Messages of a connection itself; they carry no sequence number and are handled below every core."""

from typing import Annotated

from msgspec import Meta, Struct

from scaler.ids import NATURAL, Incarnation, Natural

PROTOCOL_VERSION = 1

#: What a peer says of itself and others print: short enough for a log line.
LONGEST_LABEL = 256
Label = Annotated[str, Meta(max_length=LONGEST_LABEL)]
#: Where something ran: the names of a cluster and of one of its workers.
Place = Annotated[str, Meta(max_length=1024)]
#: What is said to people: long enough to explain, short enough for a header with as many ranges as it may have.
LONGEST_TEXT = 16 << 10
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]


class Versions(Struct, frozen=True, array_like=True):
    """What both sides must agree on: `protocol`, `python_minor`, `pickle`; `build` and `python` are only shown."""

    protocol: Natural
    python_minor: Label
    pickle: Natural
    python: Label = ""
    build: Label = ""


class Hello(Struct, frozen=True, array_like=True, tag=0):
    """Who speaks, and what it has of the other: first on every connection, both ways. Its layout never changes.

    `peer` is the incarnation it believes to be talking to (0: any) and `received` the last sequence number it has had
    from that one; `generation` is the highest of any scheduler it has met. The scheduler answers with a Hello of its
    own; `resumed` is true there if the link between the two incarnations goes on, false if it begins anew. `secret` is
    what a dialling peer's incarnation is made of, which shows that it is its own; nobody else is told.
    """

    role: Label
    incarnation: Annotated[Incarnation, NATURAL]
    peer: Annotated[Incarnation, NATURAL]
    received: Natural
    generation: Natural
    versions: Versions
    name: Label = ""
    resumed: bool = False
    secret: Annotated[bytes, Meta(max_length=LONGEST_LABEL)] = b""


class Heartbeat(Struct, frozen=True, array_like=True, tag=1):
    """Still here; the header acknowledges, and `sent` is the last sequence number sent, so that a gap is noticed.

    Any role, both ways; the scheduler answers one with one, whose `silence_s` is how long it lets that role be silent.
    """

    sent: Natural = 0
    silence_s: float | None = None


class ResendFrom(Struct, frozen=True, array_like=True, tag=2):
    """The receiver misses messages from `seq` on; the sender sends them again. Any role, both ways."""

    seq: Natural


class Rejected(Struct, frozen=True, array_like=True, tag=3):
    """The scheduler will not talk to this peer; the connection is cut off a second later. Scheduler to any.

    `code` is "version", "role" (the key may not act so), "full" (try again later) or "protocol" (the peer broke the
    rules); `versions` are the scheduler's.
    """

    code: Label
    text: Text
    versions: Versions


class Goodbye(Struct, frozen=True, array_like=True, tag=4):
    """The peer leaves for good and on purpose; its link is closed behind it. Any role, both ways. Sequenced."""

    reason: Text = ""


ConnectionMessage = Hello | Heartbeat | ResendFrom | Rejected
