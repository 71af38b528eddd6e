"""A worker process, forked from the zygote: settles in, runs its slots, and ends when its line does.

It may end at any moment: nothing in it is needed afterwards but the file it shares with its cluster.
"""

import contextlib
import ctypes
import faulthandler
import itertools
import os
import random
import signal
import socket
import sys
import threading
import types
from collections.abc import Sequence
from dataclasses import dataclass

from scaler.ids import WorkerId
from scaler.payload import nested
from scaler.payload.importing import find_code_in
from scaler.payload.inputs import inline
from scaler.storage.results import Maker, ResultFiles
from scaler.worker.board import PRELOADED, PRINTED, ROOM, Board
from scaler.worker.facts import WorkerFacts
from scaler.worker.inbox import Inbox
from scaler.worker.line import NOT_BEGUN, send_result
from scaler.worker.output import STDERR, STDOUT, marked_writer
from scaler.worker.preload import in_short, parse_preload
from scaler.worker.slot import Slot
from scaler.worker.tidying import tidying_from

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
    worker: WorkerId
    place: str
    devices: str | None
    line: int
    board: int
    poke: int
    stdout: int
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
    inline.most_bytes = setup.facts.inline_bytes
    if setup.facts.code_folder:
        find_code_in(setup.facts.code_folder)
    inbox = Inbox(line)
    slots = _slots(setup, board, inbox, line)
    slots[0].tidying = tidying_from(setup.facts.tidying)
    _mark_output(slots, board)
    if setup.facts.preload:
        try:
            parse_preload(setup.facts.preload).call()
        except BaseException as error:
            send_result(line, NOT_BEGUN, in_short(error).encode(errors="replace"))
            raise
        board.slots[0].words[PRELOADED] = 1
        os.eventfd_write(setup.poke, 1)
    first, *others = slots
    signal.signal(signal.SIGUSR1, first.on_interrupt)
    threads = [threading.Thread(target=slot.run, daemon=True) for slot in others]
    for thread in threads:
        thread.start()
    first.run()
    for thread in threads:
        thread.join()


def _slots(setup: WorkerSetup, board: Board, inbox: Inbox, line: socket.socket) -> list[Slot]:
    words = board.slots[0].words
    maker = Maker(setup.facts.owner, setup.worker, itertools.count())  # one step of it is one of the interpreter

    def results() -> ResultFiles:
        return ResultFiles(maker, setup.facts.stores, lambda: words[ROOM])

    return [Slot(slot, inbox, line, setup.poke, setup.place, results()) for slot in board.slots]


def _settle_in(setup: WorkerSetup) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != setup.parent:
        os._exit(1)
    with contextlib.suppress(OSError):
        _volunteer_for_the_oom_killer()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for ours, standard in ((setup.stdout, STDOUT), (setup.stderr, STDERR)):
        os.dup2(ours, standard)
        os.close(ours)
    faulthandler.enable(STDERR)
    faulthandler.register(signal.SIGUSR2, setup.stacks, all_threads=True)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    _limit_threads(setup.facts.threads)
    if setup.devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = setup.devices
    # What users' code finds under this name is theirs alone.
    sys.modules["__main__"] = types.ModuleType("__main__")


def _mark_output(slots: Sequence[Slot], board: Board) -> None:
    """Have what Python prints from here on carry the task that prints it."""
    words = board.slots[0].words

    def who() -> Slot | None:
        thread = threading.get_ident()
        for slot in slots:
            if slot.thread == thread:
                return slot
        running = [slot for slot in slots if slot.task() is not None]
        return running[0] if len(running) == 1 else None  # a thread that a task has started

    def printed() -> None:
        words[PRINTED] += 1

    sys.stdout = marked_writer(STDOUT, sys.stdout.encoding, sys.stdout.errors or "strict", who, printed)
    sys.stderr = marked_writer(STDERR, sys.stderr.encoding, "backslashreplace", who, printed)


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
