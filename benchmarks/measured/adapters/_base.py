"""What every adapter offers to the workloads; `adapters/NAME.py` holds a class `Peer(Base)`."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import procs
import tasks

#: where peers keep what they insist on writing
SCRATCH = Path(os.environ["PEERS_DIR"])


class Unsupported(Exception):  # noqa: N818  # it is an answer, no error
    """The peer has no way of its own to do this."""


class Base:
    """One system in the few verbs the workloads use."""

    #: the distribution whose version is reported; None for the standard library
    PACKAGE: ClassVar[str | None] = None
    #: the module that users of it import
    MODULE: ClassVar[str]
    #: whether a future among the arguments of `submit` stands for its value, and is waited for by the peer
    TAKES_FUTURES: ClassVar[bool] = False

    def start(self, n_workers: int) -> None:
        """Start it with so many workers of one slot each."""
        raise NotImplementedError

    def map(self, fn: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        """The list of results; every element is a task of its own."""
        raise NotImplementedError

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """A future: anything that `result` takes."""
        raise NotImplementedError

    def result(self, future: Any) -> Any:
        """The value of one future."""
        return future.result()

    def result_within(self, future: Any, seconds: float) -> Any:
        """The value of one future, or TimeoutError."""
        return future.result(timeout=seconds)

    def results(self, futures: list[Any]) -> list[Any]:
        """The values of many, in the way the peer recommends."""
        return [self.result(future) for future in futures]

    def put(self, value: Any) -> Any:
        """Send a value once: what stands for it among the arguments of `submit`."""
        raise Unsupported(f"it sends its {type(value).__name__} with every call")

    def pids(self) -> list[int]:
        """All processes of the peer but this one, the client."""
        pids: list[int] = procs.descendants(os.getpid())
        return pids

    def another(self) -> "Base":
        """Another client of the same scheduler."""
        raise Unsupported("it has one client")

    def scheduler_pids(self) -> list[int]:
        """The processes that hold the queue, where they can be told from the others."""
        raise Unsupported("its scheduler is no process of its own")

    def stop(self) -> None:
        """Leave nothing behind."""
        raise NotImplementedError

    def warm_up(self, n_workers: int, seconds: float = 80) -> int:
        """Run short sleeps until every worker has run one, then 100 no-ops; returns how many workers were seen."""
        seen: set[int] = set()
        end = time.monotonic() + seconds
        while len(seen) < n_workers and time.monotonic() < end:
            seen.update(self.map(tasks.sleep_then_pid, [0.05] * 4 * n_workers))
        self.map(tasks.noop, range(100))
        return len(seen)
