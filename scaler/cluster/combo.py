"""`SchedulerClusterCombo`: a scheduler and one worker cluster on this machine, for as long as this object lives."""

import atexit
import contextlib
import functools
import math
import operator
import sys
import warnings
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, SupportsFloat, SupportsIndex

from scaler.cluster.children import Child
from scaler.cluster.discarded import HARMLESS, REMEDIES
from scaler.errors import ConfigurationError
from scaler.worker.config import MOST_THREADS, MOST_WORKERS, TOLD_LATER

START_TIMEOUT_S = 30.0
#: of each child; workers go first, so that the scheduler hears their goodbye
STOP_TIMEOUT_S = 4.0

#: a capability of Scaler that is there or not, without an amount
_JUST_THERE = -1

_living: "weakref.WeakSet[SchedulerClusterCombo]" = weakref.WeakSet()


class SchedulerClusterCombo:
    """A scheduler and `n_workers` workers of `threads_per_worker` slots each, as commands on this machine.

    `address` is where the scheduler listens; by default a free port on 127.0.0.1. `death_timeout_seconds` is how long
    the workers outlive their scheduler. It ends with `shutdown()`, with the `with` block, or with this process,
    however that ends. Without any `logging_…` keyword both log what needs attention alone, on stderr.

    With `private` no program finds it that is not told its address, not even `Client()` in this process.

    `per_worker_capabilities` maps tags to -1, and what can be had in numbers to how much of it there is. Keywords of
    Scaler without a meaning here are accepted with a `DeprecationWarning`.
    """

    def __init__(
        self,
        n_workers: int,
        address: str | None = None,
        *,
        threads_per_worker: int = 1,
        monitor_address: str | None = None,
        heartbeat_interval_seconds: float = 2,
        client_timeout_seconds: float = 60,
        worker_timeout_seconds: float = 60,
        death_timeout_seconds: float = 300,
        protected: bool = True,
        private: bool = False,
        event_loop: str = "builtin",
        logging_paths: Sequence[str] = (),
        logging_level: str | None = None,
        logging_config_file: str | None = None,
        key_file: str | None = None,
        per_worker_capabilities: Mapping[str, float] | None = None,
        **others: Any,  # Any: whatever Scaler has had for them
    ) -> None:
        n_workers = _count("n_workers", n_workers, 0, MOST_WORKERS)
        threads_per_worker = _count("threads_per_worker", threads_per_worker, 1, MOST_THREADS)
        _require_seconds(
            heartbeat_interval_seconds=heartbeat_interval_seconds,
            client_timeout_seconds=client_timeout_seconds,
            worker_timeout_seconds=worker_timeout_seconds,
            death_timeout_seconds=death_timeout_seconds,
        )
        _warn_of(others)
        common = _logging(logging_paths, logging_level, logging_config_file)
        common += ["--key-file", key_file] if key_file is not None else []
        scheduler = ["scheduler", address or "tcp://127.0.0.1:0", *common, "--event-loop", event_loop]
        scheduler += ["--protected" if protected else "--no-protected", *(["--private"] if private else [])]
        scheduler += [f"--client-timeout={client_timeout_seconds}", f"--worker-timeout={worker_timeout_seconds}"]
        scheduler += ["--monitor-address", monitor_address] if monitor_address else []
        worker = ["worker", TOLD_LATER, *common, "-n", str(n_workers), "--threads", str(threads_per_worker)]
        worker += [f"--heartbeat-interval={heartbeat_interval_seconds}", f"--death-timeout={death_timeout_seconds}"]
        worker += _capabilities(per_worker_capabilities or {}, n_workers)
        self._children: list[Child] = []
        self._address = self._start([scheduler, worker] if n_workers else [scheduler])
        for child in self._children:
            child.watch(functools.partial(report, self._address, is_protected=protected))

    def _start(self, commands: Sequence[list[str]]) -> str:
        """Start all at once, the scheduler first, and return its address when all are ready; if not, none is left."""
        _living.add(self)
        try:
            for command in commands:
                self._children.append(Child(command))
            scheduler, *others = self._children
            address = scheduler.wait_ready(START_TIMEOUT_S)
            for child in others:
                child.tell(address)
                child.wait_ready(START_TIMEOUT_S)
        except BaseException:
            self.shutdown()
            raise
        return address

    @property
    def is_running(self) -> bool:
        """Whether it was started, and no part of it has ended."""
        return bool(self._children) and all(child.is_running for child in self._children)

    def get_address(self) -> str:
        """Where clients reach the scheduler."""
        return self._address

    def shutdown(self) -> None:
        """Stop the workers and the scheduler; returns when no process of them is left. May be called twice."""
        children, self._children = self._children, []
        for child in reversed(children):
            child.ask_to_stop()
            child.finish(STOP_TIMEOUT_S)
        _living.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<SchedulerClusterCombo {self._address if self._children else 'stopped'}>"


def _count(name: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, SupportsIndex) or not least <= (count := operator.index(value)) <= most:
        raise ConfigurationError(f"{name}: expected a whole number from {least} to {most}, not {value!r}")
    return count


def _require_seconds(**values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, SupportsFloat) or not 0 < float(value) < math.inf:
            raise ConfigurationError(f"{name}: expected a number of seconds above 0, not {value!r}")


def report(address: str, name: str, exit_code: int, *, is_protected: bool) -> None:
    """Tell of a child that has ended by itself, since its tasks seem to hang; but not where clients may end it."""
    if exit_code or is_protected:
        text = f"scaler: the {name} of SchedulerClusterCombo {address} has ended with exit code {exit_code}"
        print(f"{text}; no task runs there any more", file=sys.stderr, flush=True)  # noqa: T201  # for the user


def _logging(paths: Sequence[str], level: str | None, config_file: str | None) -> list[str]:
    """The options for what was asked for; if nothing was, a program's own output is not to be mixed with a log."""
    if not paths and level is None and config_file is None:
        return ["--logging-level", "WARNING", "--logging-paths", "/dev/stderr"]
    options = [word for path in paths for word in ("--logging-paths", path)]
    options += ["--logging-level", level] if level is not None else []
    return options + (["--logging-config-file", config_file] if config_file is not None else [])


def _capabilities(capabilities: Mapping[str, float], n_workers: int) -> list[str]:
    """Scaler counts by worker; the workers of a cluster share what it has."""
    words: list[str] = []
    for name, amount in capabilities.items():
        if amount == _JUST_THERE:
            words += ["--tag", name]
        else:
            words += ["--resources", f"{name}={amount * n_workers:g}"]
    return words


def _warn_of(others: Mapping[str, object]) -> None:
    for name, value in others.items():
        if name not in REMEDIES:
            raise TypeError(f"SchedulerClusterCombo() got an unexpected keyword argument {name!r}")
        if name in HARMLESS and value == HARMLESS[name]:
            continue
        warnings.warn(f"{name} means nothing here: {REMEDIES[name]}", DeprecationWarning, stacklevel=3)


@atexit.register
def _stop_all() -> None:
    """At the interpreter's end nothing is left running."""
    for combo in list(_living):
        with contextlib.suppress(OSError):
            combo.shutdown()
