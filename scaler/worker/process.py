"""A worker process, forked from the zygote: settles in, runs its slots, and ends when its line does.

It may end at any moment: nothing in it is needed afterwards but the file it shares with its cluster.
"""

import contextlib
import ctypes
import faulthandler
import os
import random
import signal
import socket
import sys
import threading
import types
from dataclasses import dataclass

from scaler.payload import nested
from scaler.worker.board import PRELOADED, Board
from scaler.worker.facts import WorkerFacts
from scaler.worker.inbox import Inbox
from scaler.worker.output import lossy_writer
from scaler.worker.preload import parse_preload
from scaler.worker.slot import Slot

_PR_SET_PDEATHSIG = 1
_OOM_SCORE_RAISE = 500
#: what numeric libraries go by; where the others are not set, they go by the first
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is told when it is forked; from `line` to `stacks` it is descriptors.

    `address` is where its scheduler is.
    """

    facts: WorkerFacts
    place: str
    devices: str | None
    line: int
    board: int
    poke: int
    stderr: int
    stacks: int
    parent: int
    address: str = ""


def run_worker(setup: WorkerSetup) -> None:
    """The whole life of a worker, in the process just forked; returns when its line ends."""
    _settle_in(setup)
    nested.settle(setup.address)
    os.register_at_fork(after_in_child=nested.leave)
    line = socket.socket(fileno=setup.line)
    board = Board(setup.board, setup.facts.threads)
    os.close(setup.board)
    if setup.facts.preload:
        parse_preload(setup.facts.preload).call()
        board.slots[0].words[PRELOADED] = 1
        os.eventfd_write(setup.poke, 1)
    inbox = Inbox(line)
    first, *others = (Slot(slot, inbox, line, setup.poke, setup.place) for slot in board.slots)
    signal.signal(signal.SIGUSR1, first.on_interrupt)
    threads = [threading.Thread(target=slot.run, daemon=True) for slot in others]
    for thread in threads:
        thread.start()
    first.run()
    for thread in threads:
        thread.join()


def _settle_in(setup: WorkerSetup) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != setup.parent:
        os._exit(1)
    with contextlib.suppress(OSError):
        _volunteer_for_the_oom_killer()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(setup.stderr, 2)
    os.close(setup.stderr)
    sys.stdout = lossy_writer(1, sys.stdout.encoding, sys.stdout.errors or "strict")
    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR2, setup.stacks, all_threads=True)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    _limit_threads(setup.facts.threads)
    if setup.devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.devices
    # What users' code finds under this name is theirs alone.
    sys.modules["__main__"] = types.ModuleType("__main__")


def _limit_threads(threads: int) -> None:
    """Have numeric libraries use no more cores than this worker has tasks, unless the user has said how many."""
    wanted = os.environ.setdefault(THREAD_VARIABLES[0], str(threads))
    for name in THREAD_VARIABLES[1:]:
        os.environ.setdefault(name, wanted)


def _volunteer_for_the_oom_killer() -> None:
    """When memory runs out, a worker goes before its cluster does."""
    with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
        score = int(file.read()) + _OOM_SCORE_RAISE
        file.seek(0)
        file.write(str(min(score, 1000)))
