"""The scheduler process: sockets, signals and timers around the exchange. The only user of asyncio here.

The loop wakes for a descriptor, a deadline or a signal, and does one turn each time; a turn that left something unread
is followed by another, since ZeroMQ's descriptors tell of changes only.
"""

import asyncio
import contextlib
import gc
import logging
import math
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from scaler.core.config import CoreConfig
from scaler.core.events import Event, PassMade, StopAsked
from scaler.core.scheduler import SchedulerCore
from scaler.durable.works import Works
from scaler.errors import AddressError, ConfigurationError, SupersededError
from scaler.ids import SECRET_BYTES, Epoch, Incarnation, incarnation_of
from scaler.link.accepted import AcceptedConfig, AcceptedLinks
from scaler.link.link import WINDOW_BYTES
from scaler.net.addresses import Address, IpcAddress, check_private, needs_no_key
from scaler.net.connection_file import SchedulerFacts, write_connection_file
from scaler.net.descriptors import raise_descriptor_limit
from scaler.net.keys import load_server, new_key_pair
from scaler.net.publisher import ZmqPublisher
from scaler.net.versions import our_versions
from scaler.net.zap import Curve
from scaler.net.zmq_listener import ZmqListener
from scaler.refusals import Refusals
from scaler.scheduler.config import SchedulerConfig
from scaler.scheduler.exchange import Exchange
from scaler.scheduler.signals import Signals
from scaler.scheduler.stream import MonitorStream
from scaler.scheduler.tables import core_tables
from scaler.scheduler.works import works_on_disk

#: how often keys are looked at again; also the longest sleep, so that a stop of the whole machine is noticed
HOUSEKEEPING_S = 1.0
#: a wake-up this late means that the process stood still
SLEPT_S = 5.0
#: how long peers have to acknowledge our goodbye
PARTING_S = 1.0
#: of the descriptors this process may have, what peers may use
PEERS_SHARE = 0.95

MANAGERS = ("AsyncBinder", "TaskManager", "ObjectManager", "WorkerManager", "ClientManager", "StatusReporter")

log = logging.getLogger("scaler.scheduler")


def run(config: SchedulerConfig) -> None:
    """Serve until told to stop; what was opened is closed however it ends."""
    with contextlib.ExitStack() as opened:
        signals = Signals()
        opened.callback(signals.close)
        loop = _event_loop(config.event_loop)
        opened.callback(loop.close)
        log.info("use event loop: %s", config.event_loop)
        curve = _curve(config)
        listener = _listen(config, curve)
        opened.callback(listener.close)
        opened.callback(_remove_socket, listener.address)
        publisher = ZmqPublisher(
            config.monitor_address, None if _needs_no_key(config, config.monitor_address) else curve
        )
        opened.callback(publisher.close)
        opened.callback(_remove_socket, publisher.address)
        log.info("Scheduler: monitor address is %s", publisher.address)
        shell = Shell(config, loop, signals, listener, publisher, curve)
        opened.callback(shell.close)
        keys = str(config.key_directory or "") if curve else ""
        facts = SchedulerFacts(listener.address, os.getpid(), keys, config.is_private)
        opened.callback(write_connection_file(facts, config.environment).unlink, missing_ok=True)
        for manager in MANAGERS:
            log.info("%s: started", manager)
        log.info("Scheduler: listening on %s", listener.address)
        shell.serve()
    log.info("Scheduler: stopped")


class Shell:
    """Owns the loop's callbacks; decides nothing about tasks."""

    def __init__(
        self,
        config: SchedulerConfig,
        loop: asyncio.AbstractEventLoop,
        signals: Signals,
        listener: ZmqListener,
        publisher: ZmqPublisher,
        curve: Curve | None,
    ) -> None:
        self._config = config
        self._loop = loop
        self._signals = signals
        self._listener = listener
        self._publisher = publisher
        self._curve = curve
        #: why nobody may connect, as far as it was told
        self._key_problem = ""
        epoch = Epoch(int.from_bytes(os.urandom(8)) or 1)
        self._refusals = Refusals(log.warning)
        self._links = AcceptedLinks(_accepted(config, epoch))
        core = SchedulerCore(_core(config), epoch)
        stream = MonitorStream(publisher, lambda: core_tables(core))
        works = Works(_new_incarnation)
        self._disk = works_on_disk(
            works, config.state_directory, listener.address, lambda number: loop.add_reader(number, self._turn)
        )
        self._exchange = Exchange(listener, self._links, core, stream, self._refusals, works)
        self._timer: asyncio.TimerHandle | None = None
        #: when it rings; uvloop's own does not tell once that has passed
        self._timer_at = math.inf
        self._due = loop.time()
        self._is_local = all(address.is_loopback for address in config.addresses)
        self._own: list[Event] = []
        self._make_pass()
        self._keep_house_at = 0.0
        self._stopping_since: float | None = None
        self._defect: BaseException | None = None

    def serve(self) -> None:
        """Run until stopped; raises `SupersededError` if another scheduler took over."""
        loop = self._loop
        loop.set_exception_handler(self._on_defect)
        for descriptor in (*self._listener.filenos(), *self._publisher.filenos()):
            loop.add_reader(descriptor, self._turn)
        loop.add_reader(self._signals.fileno(), self._hear_signals)
        if self._config.parent_fd is not None:
            self._greet_parent(self._config.parent_fd)
        gc.collect()
        gc.freeze()
        loop.call_soon(self._turn)
        loop.run_forever()
        if self._defect is not None:
            raise self._defect
        if self._exchange.is_superseded:
            raise SupersededError(self._exchange.stopped)

    def close(self) -> None:
        """Write what waits for the disk, and let it go."""
        self._disk.close()

    def _on_defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Events were lost in the midst of a turn: the next scheduler is told them again, this one never would be."""
        if "exception" not in context:
            loop.default_exception_handler(context)
            return
        self._defect = context["exception"]
        loop.stop()

    def _greet_parent(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, f"{self._listener.address}\n".encode())
        self._loop.add_reader(descriptor, self._hear_parent, descriptor)

    def _hear_parent(self, descriptor: int) -> None:
        try:
            has_ended = not os.read(descriptor, 4096)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it ended before it had read the address
            has_ended = True
        if has_ended:
            self._loop.remove_reader(descriptor)
            self._stop("the parent is gone")

    def _hear_signals(self) -> None:
        for number in self._signals.take():
            self._stop(number.name)

    def _stop(self, reason: str) -> None:
        if self._stopping_since is not None:
            self._loop.stop()
            return
        log.info("Scheduler: stopping, %s", reason)
        self._stopping_since = self._loop.time()
        self._own.append(StopAsked(reason))
        self._turn()

    def _turn(self) -> None:
        now = self._loop.time()
        late_s = now - self._due
        own, self._own = self._own, []
        self._disk.take(now)
        is_more = self._exchange.turn(self._loop.time, own, late_s if late_s > SLEPT_S else 0.0)
        self._disk.perform()
        if now >= self._keep_house_at:
            self._keep_house_at = now + HOUSEKEEPING_S
            self._keep_house(now)
        if self._may_leave(now):
            self._loop.stop()
            return
        self._arm(now, at_once=is_more or bool(self._own))

    def _keep_house(self, now: float) -> None:
        if self._curve is not None:
            before = self._curve.authorized
            self._curve.refresh()
            if self._curve.has_revoked(before):  # who has had the pass knows it still
                self._make_pass()
        self._listener.keep_house()
        self._publisher.keep_house()
        self._refusals.tick(now)
        self._exchange.keep_house(now)
        problem = self._curve.problem if self._curve is not None else ""
        if problem and problem != self._key_problem:
            log.warning("keys: nobody can connect: %s", problem)
        self._key_problem = problem

    def _make_pass(self) -> None:
        """Where clusters of other hosts can be, they give each other what they have."""
        if not self._is_local:
            self._own.append(PassMade(*new_key_pair()))

    def _arm(self, now: float, *, at_once: bool) -> None:
        deadline = self._exchange.next_deadline()
        due = self._keep_house_at if deadline is None else min(deadline, self._keep_house_at)
        if self._stopping_since is not None:
            due = min(due, self._stopping_since + PARTING_S)
        self._due = now if at_once else max(now, due)
        # a timer that is early costs one turn for nothing, once; a new one each turn costs more
        if self._timer is None or self._timer_at > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = self._due
            self._timer = self._loop.call_at(self._due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._turn()

    def _may_leave(self, now: float) -> bool:
        if self._exchange.stopped is not None and self._stopping_since is None:
            self._stopping_since = now
            log.info("Scheduler: stopping, %s", self._exchange.stopped)
        if self._stopping_since is None:
            return False
        is_done = self._exchange.stopped is not None and self._links.is_settled()
        return is_done or now >= self._stopping_since + PARTING_S


def _new_incarnation() -> Incarnation:
    return incarnation_of(os.urandom(SECRET_BYTES))


def _core(config: SchedulerConfig) -> CoreConfig:
    return CoreConfig(
        is_protected=config.is_protected,
        client_timeout_s=config.client_timeout_s,
        max_queued_tasks=config.max_queued_tasks,
        memory_limit_bytes=config.memory_limit_bytes,
        window_bytes=WINDOW_BYTES,
    )


def _accepted(config: SchedulerConfig, epoch: Epoch) -> AcceptedConfig:
    return AcceptedConfig(
        epoch=epoch,
        generation=0,
        versions=our_versions(),
        silence_s={
            "client": config.client_timeout_s,
            "operator": config.client_timeout_s,
            "worker": config.worker_timeout_s,
        },
        most_peers=int(raise_descriptor_limit() * PEERS_SHARE),
        window_bytes=WINDOW_BYTES,
    )


def _remove_socket(address: str) -> None:
    """ZeroMQ leaves the file of an `ipc://` socket behind; as long as we listen there it is nobody else's."""
    if address.startswith("ipc://"):
        Path(address.removeprefix("ipc://")).unlink(missing_ok=True)


def _event_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "builtin":
        return asyncio.new_event_loop()
    return _uvloop().new_event_loop()  # type: ignore[no-any-return]  # an optional package


def _uvloop() -> ModuleType:
    try:
        import uvloop  # noqa: PLC0415  # an optional package
    except ImportError:
        raise ConfigurationError("event loop uvloop is not installed: pip install 'scaler[uvloop]'") from None
    return uvloop


def _needs_no_key(config: SchedulerConfig, address: Address) -> bool:
    return needs_no_key(
        address,
        insecure=config.is_insecure,
        insecure_off_loopback=config.is_insecure_off_loopback,
        danger=(
            f"{address} can be reached by others: leave --insecure away, or add --insecure-off-loopback if every "
            "machine and user of that network may run code here"
        ),
    )


def _curve(config: SchedulerConfig) -> Curve | None:
    addresses = (*config.addresses, config.monitor_address)
    # every address is looked at: each may be refused
    needs_key = [not _needs_no_key(config, address) for address in addresses]
    if not any(needs_key):
        return None
    directory, key = load_server(config.key_directory, config.environment)
    if not all(address.is_loopback for address in addresses):
        log.info("keys: other machines need a copy of %s/client.key or worker.key, see --key-file", directory)
    return Curve(directory, key.public, key.secret)


def _listen(config: SchedulerConfig, curve: Curve | None) -> ZmqListener:
    error = AddressError("no address to listen on")
    for address in config.addresses:
        if isinstance(address, IpcAddress) and address.path.parent.exists():
            check_private(address.path.parent)
        try:
            return ZmqListener(address, None if _needs_no_key(config, address) else curve)
        except AddressError as refusal:
            error = refusal
    raise error
