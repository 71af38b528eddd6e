"""The zygote: a small process that forks workers on its cluster's word, and ends them all when the cluster is gone.

It runs no user code, starts no thread, and opens nothing but the line it was given, so a fork of it is clean. As a
subreaper it inherits whatever workers leave behind, and ends it with them; when its line ends, because the cluster
was killed, it kills every process below it, however deep, before it ends itself.
"""

import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import sys
from dataclasses import replace
from typing import Any

import scaler
from scaler.ids import WorkerId
from scaler.storage.places import sweep_stores
from scaler.worker.code_folder import CodeFolder
from scaler.worker.descendants import become_subreaper, kill_descendants
from scaler.worker.facts import WorkerFacts
from scaler.worker.line import receive_with_descriptors, send_with_descriptors
from scaler.worker.poller import REMINDERS
from scaler.worker.process import WorkerSetup, run_worker

MESSAGE_BYTES = 4096
#: descriptors that come with an order to fork: line, board, poke, stdout, stderr, stacks
FORK_DESCRIPTORS = 6


class Zygote:
    """The loop: fork on order, tell who started and who ended."""

    def __init__(self, control: socket.socket, facts: WorkerFacts) -> None:
        self._control = control
        self._facts = facts
        self._workers: set[int] = set()
        self._wakeup_read, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup_read, False)
        os.set_blocking(self._wakeup_write, False)

    def run(self) -> None:
        """Serve until the line ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in REMINDERS:  # a batch system sends them to every process; no program of a task inherits this
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup_read, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeup_read:
                    self._bury()
                elif not self._serve():
                    return

    def _bury(self) -> None:
        """Reap what has ended. A worker's process group goes first, while the dead leader still holds its number."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup_read, MESSAGE_BYTES)
        ended: list[tuple[int, int]] = []
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                pid = found.si_pid
                if pid in self._workers:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(pid, signal.SIGKILL)
                exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if pid in self._workers:
                    self._workers.discard(pid)
                    ended.append((pid, exit_code))
        if ended and _has_others(self._workers):
            kill_descendants(os.getpid(), self._workers)
        for pid, exit_code in ended:
            self._tell({"ended": pid, "exit_code": exit_code})

    def _serve(self) -> bool:
        data, descriptors = receive_with_descriptors(self._control, MESSAGE_BYTES, FORK_DESCRIPTORS)
        if not data:
            return False
        order = json.loads(data)
        worker = int(order["fork"])
        line, board, poke, stdout, stderr, stacks = descriptors
        place = f"{self._facts.place}, worker {order['name'] or worker}"
        facts, address = self._facts, str(order["address"])
        if order["spare"]:  # somebody nests tasks here: each worker loads what that takes, or we do for all of them
            scaler.Client  # noqa: B018  # loaded by being asked for
            facts = replace(facts, threads=1)
        setup = WorkerSetup(
            facts,
            WorkerId(worker),
            place,
            order["devices"],
            line,
            board,
            poke,
            stdout,
            stderr,
            stacks,
            os.getpid(),
            address,
        )
        try:
            pid = os.fork()
        except OSError as error:
            self._tell({"failed": worker, "text": f"it cannot be forked: {error}"})
        else:
            if pid == 0:
                self._become_worker(setup)
            self._workers.add(pid)
            self._introduce(worker, pid)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _introduce(self, worker: int, pid: int) -> None:
        """Tell of a new worker, with a descriptor that stands for this very process whatever becomes of its number."""
        descriptor = os.pidfd_open(pid)
        self._tell({"started": worker, "pid": pid}, descriptor)
        os.close(descriptor)

    def _become_worker(self, setup: WorkerSetup) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._control.close()
            os.close(self._wakeup_read)
            os.close(self._wakeup_write)
            gc.enable()
            run_worker(setup)
            code = 0
        except BaseException as error:  # noqa: BLE001  # the last words of a process that must not become a second zygote
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _tell(self, message: dict[str, Any], *descriptors: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_with_descriptors(self._control, [json.dumps(message).encode()], descriptors)


def _has_others(known: set[int]) -> bool:
    """Whether this process has children besides those known; where the kernel does not tell, there may be."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return not known.issuperset(map(int, file.read().split()))
    except OSError:
        return True


def main() -> None:
    """Entry of `python -m scaler.worker.zygote FD FACTS [PATH …]`: modules are looked for in PATHs first."""
    become_subreaper()
    descriptor, facts, *paths = sys.argv[1:]
    sys.argv = [""]
    sys.path[:0] = paths
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    gc.disable()
    gc.freeze()
    known = WorkerFacts(**json.loads(facts))
    try:
        Zygote(control, known).run()
    finally:
        kill_descendants(os.getpid())
        CodeFolder(known.code_folder).remove()
        sweep_stores()


if __name__ == "__main__":
    main()
