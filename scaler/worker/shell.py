"""The process of a worker cluster: puts the parts together, runs the loop, and leaves nothing behind. No user code.

Whatever happens to it from its first line on, by signal, error or order, every process it has started ends with it.
"""

import contextlib
import gc
import logging
import os
import random
import select
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scaler.errors import ConfigurationError
from scaler.ids import SECRET_BYTES, Incarnation, incarnation_of
from scaler.link.dialled import DialledConfig, DialledLink
from scaler.net.addresses import Address, needs_no_key, parse_address
from scaler.net.descriptors import raise_descriptor_limit
from scaler.net.keys import KeyFile, load_key
from scaler.net.versions import our_versions
from scaler.net.zmq_dialer import Dialing
from scaler.storage.places import LEAST_BYTES, MEMORY, places
from scaler.storage.store import Place
from scaler.worker.agent import Agent, AgentConfig
from scaler.worker.code_folder import folder_name
from scaler.worker.config import WorkerClusterConfig
from scaler.worker.facts import WorkerFacts, ZygoteFacts
from scaler.worker.loop import Loop
from scaler.worker.peers import Peers
from scaler.worker.poller import REMINDERS, Poller, Signals
from scaler.worker.sweeping import Sweeper
from scaler.worker.workers import Workers

#: what a worker takes of this process while it starts, or with a client inside its task; what everything else may take
WORKER_DESCRIPTORS = 11
OWN_DESCRIPTORS = 64
#: with fewer whoever can reach a port could take them all before it is turned away
DOOR_DESCRIPTORS = 8192
#: of what tasks print, so many lines a second go to their clients; and where nobody else shows it
OUTPUT_LINES_PER_S = 200.0
ONLY_OUTPUT_LINES_PER_S = 10_000.0

log = logging.getLogger("scaler.worker")


def run(config: WorkerClusterConfig) -> int:
    """Serve until told to end, or until there is nothing to serve; the exit code.

    Raises `AuthenticationError`, `VersionMismatchError` and their like when the scheduler will not have this cluster.
    """
    with contextlib.ExitStack() as opened:
        signals = Signals()
        opened.callback(signals.close)
        poller = Poller()
        opened.callback(poller.close)
        spares = require_descriptors(config.workers, raise_descriptor_limit())
        environment = os.environ if config.environment is None else config.environment
        name = config.name or f"{socket.gethostname()}-{os.getpid()}"
        agent_config = _agent_config(config, name, spares)
        secret = os.urandom(SECRET_BYTES)
        facts = _zygote_facts(config, agent_config.place, environment, incarnation_of(secret))
        stores = _stores(config)
        opened.callback(Sweeper([store.folder.parent for store in stores]).close)
        workers = Workers(facts, poller, time.monotonic, config.memory_limit_bytes, stores)
        opened.callback(workers.close)
        if not config.address:
            workers.open()
        text = config.address or _told_address(config.parent_fd, signals)
        if text is None:
            return 0
        address = parse_address(text, environment)
        key = None if _needs_no_key(config, address) else load_key("worker", config.key_file, environment)
        log.info(
            "ClusterProcess: starting %d workers, heartbeat_interval_seconds=%g, address=%s, name=%s, threads=%d",
            config.workers, config.heartbeat_interval_s, address, name, config.threads,
        )  # fmt: skip
        workers.address = str(address)
        workers.open()
        dialing = Dialing(address, key)
        opened.callback(dialing.close)
        dialled = DialledLink(_link_config(config, name, secret, address, key), random.random)
        peers = _peers(config, address, poller)
        opened.callback(peers.close)
        agent = Agent(replace(agent_config, port=peers.port, key=peers.key), incarnation_of(secret))
        loop = Loop(config.grace_s, poller, dialing, dialled, agent, workers, peers)
        opened.callback(loop.hang_up)
        _obey(loop, poller, signals, config.parent_fd)
        gc.collect()
        gc.freeze()
        return loop.serve()


def _stores(config: WorkerClusterConfig) -> tuple[Place, ...]:
    """Where large values are to lie; told if there is too little memory for them."""
    found = places(config.object_store_limit_bytes, config.spill_folder)
    if config.object_store_limit_bytes is None and not any(place.is_limited for place in found):
        log.info(
            "ClusterProcess: large values lie %s alone: less than %d MiB are free in %s, or for this cgroup",
            found[-1].what, 2 * LEAST_BYTES >> 20, MEMORY,
        )  # fmt: skip
    return found


def _peers(config: WorkerClusterConfig, address: Address, poller: Poller) -> Peers:
    """What other clusters are given and asked by; where the scheduler is on this machine, nobody is let in."""
    peers = Peers(poller, time.monotonic)
    if address.is_loopback and config.peer_port:
        log.info("ClusterProcess: --peer-port is not used: the scheduler is on this machine, and so are all clusters")
    if address.is_loopback or config.peer_port is None:
        return peers
    if raise_descriptor_limit() >= DOOR_DESCRIPTORS:
        peers.open(config.peer_port)
    else:
        log.info("ClusterProcess: other hosts fetch through the scheduler: 'ulimit -n' is below %d", DOOR_DESCRIPTORS)
    return peers


def _told_address(parent_fd: int | None, signals: Signals) -> str | None:
    """What the parent says on its line; None if a signal or the end of the parent comes first."""
    if parent_fd is None:
        raise ConfigurationError("no scheduler address was given")
    said = b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([parent_fd, signals.fileno()], [], [])
        if signals.fileno() in ready and not set(signals.take()) <= set(REMINDERS):
            return None
        if parent_fd not in ready:
            continue
        more = os.read(parent_fd, 4096)
        if not more:
            return None
        said += more
    return said.decode().strip()


def _obey(loop: Loop, poller: Poller, signals: Signals, parent_fd: int | None) -> None:
    """Have signals, and the end of whoever started this process, stop the loop."""

    def on_signal() -> None:
        for number in signals.take():
            if number in REMINDERS:
                log.info("ClusterProcess: %s, taken as a reminder that the walltime ends; nothing changes", number.name)
                continue
            loop.stop(number.name, at_once=number == signal.SIGINT or loop.is_stopping)

    def on_parent() -> None:
        if parent_fd is not None and _has_ended(parent_fd):
            poller.forget(parent_fd)
            loop.stop("the parent is gone", at_once=True)

    poller.watch(signals.fileno(), on_signal)
    if parent_fd is not None:
        os.set_blocking(parent_fd, False)
        os.set_inheritable(parent_fd, False)
        with contextlib.suppress(BrokenPipeError):
            os.write(parent_fd, b"started\n")
        poller.watch(parent_fd, on_parent)


def _has_ended(descriptor: int) -> bool:
    """Whether there is nobody at the other end of a line any more."""
    try:
        return not os.read(descriptor, 4096)
    except BlockingIOError:
        return False
    except ConnectionResetError:  # it ended before it had read what we said
        return True


def require_descriptors(workers: int, limit: int) -> int:
    """Refuse to start more workers than this process can hold; how many more it can."""
    most = max(0, limit - OWN_DESCRIPTORS) // WORKER_DESCRIPTORS
    if workers > most:
        raise ConfigurationError(
            f"{workers} workers are too many: each takes {WORKER_DESCRIPTORS} descriptors and 'ulimit -n' allows "
            f"{limit}, enough for {most}; raise its hard limit, or start several worker clusters"
        )
    return most - workers


def _needs_no_key(config: WorkerClusterConfig, address: Address) -> bool:
    return needs_no_key(
        address,
        insecure=config.insecure,
        insecure_off_loopback=config.insecure_off_loopback,
        danger=(
            f"whoever can pretend to be {address} could run code here: leave --insecure away, or add "
            "--insecure-off-loopback if you trust every machine on the way there"
        ),
    )


def _zygote_facts(
    config: WorkerClusterConfig, name: str, environment: Mapping[str, str], owner: Incarnation
) -> ZygoteFacts:
    tidying = config.tidying.told() if config.tidying else ""
    inline_bytes = config.inline_bytes
    facts = WorkerFacts(config.threads, name, config.preload, folder_name(), tidying, owner, inline_bytes=inline_bytes)
    return ZygoteFacts(facts, _paths(config), environment, config.echo, config.log_format)


def _paths(config: WorkerClusterConfig) -> tuple[str, ...]:
    """Where workers look for modules first: what was named, then the working directory, as a script's would be."""
    with contextlib.suppress(FileNotFoundError):  # somebody may have removed it
        return (*config.python_path, str(Path.cwd()))
    return config.python_path


def _link_config(
    config: WorkerClusterConfig, name: str, secret: bytes, address: Address, key: KeyFile | None
) -> DialledConfig:
    shown = "this cluster shows none" if key is None else f"does not accept the key {key.path}"
    return DialledConfig(
        role="worker",
        name=name,
        secret=secret,
        versions=our_versions(),
        heartbeat_interval_s=config.heartbeat_interval_s,
        give_up_s=None,
        address=str(address),
        refusal_help=f"the scheduler wants a key and {shown}: copy its own worker.key here and name it with --key-file",
    )


def _agent_config(config: WorkerClusterConfig, name: str, spares: int) -> AgentConfig:
    left_s = None if config.ends_at_unix_s is None else config.ends_at_unix_s - time.time()
    return AgentConfig(
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        workers=config.workers,
        threads=config.threads,
        tags=config.tags,
        resources=config.resources,
        heartbeat_interval_s=config.heartbeat_interval_s,
        death_timeout_s=config.death_timeout_s,
        ends_at=None if left_s is None else time.monotonic() + left_s,
        worker_names=config.worker_names,
        max_parked=min(config.parked_at_most, spares),
        max_tasks_per_worker=config.max_tasks_per_worker,
        memory_limit_bytes=config.memory_limit_bytes,
        devices=config.devices,
        task_timeout_s=config.task_timeout_s,
        preload=config.preload,
        output_lines_per_s=OUTPUT_LINES_PER_S if config.echo else ONLY_OUTPUT_LINES_PER_S,
    )
