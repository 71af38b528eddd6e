"""Peers with good keys that say nothing but garbage: they are cut off, and nobody else notices.

What the flood finds is looked for again without sockets, where a seed gives the same story every time.
"""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from scaler.ids import Epoch, Incarnation
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.net.memory import MemoryDialer, MemoryListener
from scaler.net.transport import Identity, TurnedAway
from scaler.net.versions import our_versions
from scaler.refusals import BURST, Refusals
from scaler.scheduler.exchange import Exchange
from scaler.scheduler.stream import MonitorStream
from scaler.scheduler.tables import core_tables
from tests.integration.processes import ROOT, Command, Place, wait_until
from tests.integration.security_garbage import NONSENSE, Liar
from tests.integration.security_peers import good_client

FRAMES = 100_000
SEED = 20_261_122
#: how much larger the scheduler may become meanwhile
GROWTH_BYTES = 100 << 20
FLOOD_S = 120.0
#: of the connections, those that are told of or counted: a goodbye is no refusal, and libzmq ends what is too large
TOLD_SHARE = 0.8
LONGEST_LINE = 1000


def test_a_hundred_thousand_frames_of_garbage_end_their_connections_and_harm_nobody(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    keys = place.folder / "c" / "scaler" / "keys"
    with good_client(address) as client:
        wait_until(lambda: client.rounds > 2, "the good client works")
        before = peak_bytes(scheduler)
        victim = str(int.from_bytes(client.identity, "big"))
        floods = [
            flood(place, address, keys / "client.key", "client", victim),
            flood(place, address, keys / "worker.key", "worker"),
        ]
        for one in floods:
            assert one.wait(FLOOD_S) == 0, one.err
    sent, connections = (sum(numbers) for numbers in zip(*(map(int, one.out.split()) for one in floods), strict=True))
    assert sent >= FRAMES
    assert peak_bytes(scheduler) - before < GROWTH_BYTES

    def told_of() -> int:
        held_back = re.findall(r": refused (\d+) more, not shown one by one", scheduler.out)
        return len(re.findall(": refused connection=", scheduler.out)) + sum(map(int, held_back))

    wait_until(lambda: told_of() > TOLD_SHARE * connections, f"{connections} are told of, not {told_of()}")
    assert told_of() <= connections
    assert BURST <= len(re.findall(": refused connection=", scheduler.out)) < connections
    assert max(map(len, scheduler.out.splitlines())) < LONGEST_LINE
    assert "Traceback" not in scheduler.out + scheduler.err


def flood(place: Place, address: str, key_file: Path, role: str, *victims: str) -> Command:
    text = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.integration import security_flood as it; it.main()"
    )
    return place.script(text, address, str(key_file), role, str(SEED), str(FRAMES // 2), *victims)


def peak_bytes(command: Command) -> int:
    """The most memory it has had."""
    status = Path(f"/proc/{command.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


# ---- the same without sockets

EPOCH = Epoch(77)
STORY_CONNECTIONS = 150


class Watched:
    """A monitor socket that somebody listens to from the start."""

    def __init__(self) -> None:
        self._began = [(b"state", True), (b"spans", True)]

    def subscriptions(self) -> tuple[list[tuple[bytes, bool]], list[TurnedAway]]:
        began, self._began = self._began, []
        return began, []

    def publish(self, frames: Sequence[object]) -> None:
        assert len(frames) == 2


class Scheduler:
    """A whole scheduler in this process, but for its sockets and clock."""

    def __init__(self) -> None:
        self.listener = MemoryListener()
        silence_s = {"client": 60.0, "operator": 60.0, "worker": 60.0}
        self._links = AcceptedLinks(AcceptedConfig(EPOCH, 0, our_versions(), silence_s))
        self.core = SchedulerCore(CoreConfig(), EPOCH)
        stream = MonitorStream(Watched(), lambda: core_tables(self.core))
        self.lines: list[str] = []
        self._exchange = Exchange(self.listener, self._links, self.core, stream, Refusals(self.lines.append))
        self._now = 1000.0

    def turn(self, seconds: float) -> None:
        self._now += seconds
        self._exchange.turn(lambda: self._now)

    def is_heard(self, dialer: MemoryDialer) -> bool:
        return not dialer.is_over and self._links.direction_of(dialer.number) != "greeting"


@pytest.mark.parametrize("seed", range(8))
def test_every_frame_of_liars_leaves_the_scheduler_sound_and_nothing_of_them_stays(seed: int):
    chance = random.Random(seed)
    scheduler = Scheduler()
    peers = [Incarnation(5)]
    for _ in range(STORY_CONNECTIONS):
        role = chance.choice(("client", "worker"))
        liar = Liar(chance, role, our_versions(), peers[-3:], EPOCH, slots=chance.choice((0, 1, 4)))
        peers.append(liar.peer)
        dialer = scheduler.listener.dial(Identity(role, role, role))
        for frames in [*liar.train(10), [NONSENSE]]:
            dialer.send(frames)
            scheduler.turn(chance.choice((0.0, 0.001, 0.1)))
            if not scheduler.is_heard(dialer):
                break
        scheduler.core.check()
        dialer.close()
    scheduler.turn(0.0)
    scheduler.turn(100.0)
    scheduler.core.check()
    managers = scheduler.core.managers
    assert not managers.workers.clusters
    assert not managers.clients.clients
    assert not managers.tasks.by_serial
    assert not managers.tasks.runs
    assert not len(managers.objects)
    assert scheduler.lines
    scheduler.listener.close()
