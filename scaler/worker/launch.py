"""The cluster's side of its zygote: starts it as a command, orders workers from it, hears who started and ended."""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from scaler.ids import WorkerId
from scaler.worker.facts import ZygoteFacts
from scaler.worker.line import receive_with_descriptors, send_with_descriptors

_MESSAGE_BYTES = 4096
_ENDING_S = 3.0
#: so many orders to fork are out at once; those behind them can still be cancelled
_MOST_ORDERS_OUT = 16


@dataclass(frozen=True, slots=True)
class Forked:
    """A worker runs; `pid_descriptor` stands for that process, and belongs to whoever gets this."""

    worker: WorkerId
    pid: int
    pid_descriptor: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """A worker could not be forked."""

    worker: WorkerId
    text: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A worker process is gone; `exit_code` is its own, or minus the signal."""

    pid: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class ZygoteEnded:
    """The zygote itself is gone, and with it every worker."""

    exit_code: int


ZygoteEvent = Forked | ForkFailed | Exited | ZygoteEnded


class ZygoteProcess:
    """A running zygote. It and all its workers end when this is closed, or when this process ends in whatever way."""

    def __init__(self, facts: ZygoteFacts) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        #: what is to be said of the workers that are to be forked, by number, and their descriptors; in order
        self._orders: dict[WorkerId, tuple[bytes, tuple[int, ...]]] = {}
        self._orders_out = 0
        self._has_had_orders = False
        # -P: what lies in the working directory must not stand in for the standard library while we import it.
        command = [
            sys.executable,
            "-P",
            "-m",
            "scaler.worker.zygote",
            str(theirs.fileno()),
            json.dumps(asdict(facts.workers)),
            *facts.paths,
        ]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=dict(facts.environment),
                start_new_session=True,
            )

    def fileno(self) -> int:
        """The line to watch."""
        return self._control.fileno()

    def fork(
        self,
        worker: WorkerId,
        name: str,
        devices: str | None,
        address: str,
        descriptors: Sequence[int],
        *,
        is_spare: bool,
    ) -> None:
        """Order a worker with these descriptors; they have to stay open until it has `Forked` or failed."""
        order = {"fork": worker, "name": name, "devices": devices, "address": address, "spare": is_spare}
        self._orders[worker] = json.dumps(order).encode(), tuple(descriptors)
        self._flush()

    def cancel(self, worker: WorkerId) -> bool:
        """Take the order for a worker back; whether it was not out yet, so that nothing will be heard of it."""
        return self._orders.pop(worker, None) is not None

    def _flush(self) -> None:
        while self._orders and self._orders_out < _MOST_ORDERS_OUT:
            worker = next(iter(self._orders))
            order, descriptors = self._orders[worker]
            try:
                send_with_descriptors(self._control, [order], descriptors)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                return  # it answers what it has read, or its end is read from the same line
            self._has_had_orders = True
            self._orders_out += 1
            del self._orders[worker]

    def receive(self) -> list[ZygoteEvent]:
        """What has happened since."""
        events: list[ZygoteEvent] = []
        while True:
            try:
                data, descriptors = receive_with_descriptors(self._control, _MESSAGE_BYTES, 1)
            except BlockingIOError:
                self._flush()
                return events
            if not data:
                return [*events, ZygoteEnded(self._reap())]
            event = _event(json.loads(data), descriptors)
            if not isinstance(event, Exited):
                self._orders_out -= 1
            events.append(event)

    def close(self) -> None:
        """End the zygote and all its workers; returns when it has ended."""
        self._control.close()
        if not self._has_had_orders:  # nothing is below it, and it hears us only once it has loaded
            self._process.kill()
        self._reap()

    def _reap(self) -> int:
        try:
            return self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _event(message: Mapping[str, int | str], descriptors: Sequence[int]) -> ZygoteEvent:
    match message:
        case {"started": int(worker), "pid": int(pid)}:
            if not descriptors:  # and without one the number could be another process's: its line's end ends it
                return ForkFailed(WorkerId(worker), "too many files are open here to hold it: see ulimit -n")
            return Forked(WorkerId(worker), pid, descriptors[0])
        case {"failed": int(worker), "text": str(text)}:
            return ForkFailed(WorkerId(worker), text)
        case {"ended": int(pid), "exit_code": int(exit_code)}:
            return Exited(pid, exit_code)
        case _:
            raise ValueError(f"the zygote said {message}")
