"""Hosts of their own for scheduler and clusters, whose packets vanish one way or both, or are late and some are lost.

Packets are cut off by the address of a network card that nobody has: they arrive, and the kernel of the host that they
were for drops them on input, as it does with those of others. Neither end is told anything, and no carrier is lost.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.chaos.system import Chaos, System
from benchmarks.machine import ROOT
from tests.integration.processes import Command
from tests.integration.security_hosts import Cable, Host, cable_between

PORT = 8516
#: this machine, beside its hosts
HERE = "here"
NOBODY = "02:00:00:00:de:ad"


class Hosts:
    """The scheduler is on the first one, clusters on the others; clients are on this machine."""

    def __init__(self, chaos: Chaos, cable: Cable, *options: str) -> None:
        self._chaos = chaos
        self._cable = cable
        first = cable.hosts[0]
        reached = f"tcp://{cable.network}.1:{PORT}"
        self.system = System(chaos, *options, listens=f"tcp://0.0.0.0:{PORT}", reached=reached, on=first)
        line = self.system.scheduler.wait_for("keys: other machines need a copy of ")
        self._keys = Path(line.partition("copy of ")[2].partition("/client.key")[0])
        self.client_key = self._keys / "client.key"

    def add_cluster(self, name: str, workers: int, *options: str) -> Command:
        """Start a cluster on a host, and wait until it is connected."""
        host = self._host(name)
        key = str(host.copy(self._keys / "worker.key"))
        (cluster,) = self.system.add_clusters(1, workers, "--key-file", key, *options, on=host)
        return cluster

    def cut(self, source: str, target: str) -> None:
        """From now on what one sends to another is dropped there."""
        self._chaos.tell(f"cut {source} to {target}")
        self._neighbour(source, "replace", self._address(target), "lladdr", NOBODY, "nud", "permanent")

    def mend(self, source: str, target: str) -> None:
        """Let it pass again."""
        self._neighbour(source, "del", self._address(target))
        self._chaos.tell(f"mend {source} to {target}")

    @contextlib.contextmanager
    def lossy(self, name: str, loss: float, delay_s: float) -> Iterator[None]:
        """Within it so large a share of the packets from and to this host is lost, and all others are so late."""
        prefix, number = self._cable.prefix, name.removeprefix("h")
        port, ours, theirs = f"{prefix}v{number}", f"{prefix}x", f"{prefix}y"
        _told("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        for link in (ours, theirs):
            _told("ip", "link", "set", link, "up")
        _told("ip", "link", "set", port, "nomaster")
        _told("ip", "link", "set", ours, "master", f"{prefix}br0")
        words = [theirs, port, str(loss), str(delay_s), str(self._chaos.seed)]
        self._chaos.tell(f"{name} loses {loss:.0%}, {delay_s:g} s late")
        carrier = subprocess.Popen([sys.executable, "-m", "benchmarks.chaos.lossy", *words], cwd=ROOT)
        try:
            yield
        finally:
            carrier.terminate()
            carrier.wait()
            _told("ip", "link", "del", ours)
            _told("ip", "link", "set", port, "master", f"{prefix}br0")
            self._chaos.tell(f"{name} loses nothing")

    def _neighbour(self, source: str, *words: str) -> None:
        if source == HERE:
            _told("ip", "neigh", *words, "dev", f"{self._cable.prefix}br0")
        else:
            _told("ip", "-n", f"{self._cable.prefix}{source}", "neigh", *words, "dev", "eth0")

    def _address(self, name: str) -> str:
        return f"{self._cable.network}.{254 if name == HERE else name.removeprefix('h')}"

    def _host(self, name: str) -> Host:
        return next(host for host in self._cable.hosts if host.name == name)


def _told(*words: str) -> None:
    subprocess.run(words, check=True, timeout=30)


@contextlib.contextmanager
def hosts(chaos: Chaos, count: int, *options: str) -> Iterator[Hosts]:
    """So many hosts with a scheduler on the first; all of it ends with the block."""
    with cable_between(count) as cable:
        yield Hosts(chaos, cable, *options)


#: who sends and who hears no more, by the name of a cut between two
WAYS = {"both": ((0, 1), (1, 0)), "there": ((0, 1),), "back": ((1, 0),)}


@contextlib.contextmanager
def cut_off(net: Hosts, name: str, way: str, other: str = "h1") -> Iterator[None]:
    """Within it packets between two vanish, one way or both."""
    ends = (name, other)
    for source, target in WAYS[way]:
        net.cut(ends[source], ends[target])
    try:
        yield
    finally:
        for source, target in WAYS[way]:
            net.mend(ends[source], ends[target])
