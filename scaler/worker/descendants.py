"""Processes below this one, however deep: a subreaper inherits those whose parents ended, and ends them all."""

import contextlib
import ctypes
import os
import select
import signal
from collections.abc import Collection, Iterator

_PR_SET_CHILD_SUBREAPER = 36
_ROUNDS = 200
_ROUND_S = 0.005


def become_subreaper() -> None:
    """Whatever descendants leave behind becomes a child of this process instead of init's."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(root: int, spared: Collection[int] = ()) -> list[int]:
    """Every living process below `root`, read from /proc; neither zombies, nor what is `spared` and all below that."""
    children: dict[int, list[int]] = {}
    for pid, parent, _, state in _processes():
        if pid not in spared and state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def families(roots: Collection[int]) -> dict[int, list[int]]:
    """Each root with the living processes below it or in its session; one that cannot be found counts as alone."""
    known = {pid: (parent, session) for pid, parent, session, state in _processes() if state not in "ZX"}
    found = {root: [root] for root in roots}
    for pid in known:
        head = pid
        while head in known and head not in found:
            parent, session = known[head]
            head = session if session in found else parent
        if head in found and head != pid:
            found[head].append(pid)
    return found


def _processes() -> Iterator[tuple[int, int, int, str]]:
    """Process, parent, session and state of all there are."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                    state, parent, _, session = file.read().rpartition(")")[2].split()[:4]
                yield int(name), int(parent), int(session), state


def kill_descendants(root: int, spared: Collection[int] = ()) -> None:
    """Kill every process below `root` but those `spared` and theirs, again until none is left; reap what was ours."""
    for _ in range(_ROUNDS):
        below = descendants(root, spared)
        if not below:
            break
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not spared:
            reap_all()
        select.select([], [], [], _ROUND_S)
    if not spared:
        reap_all()  # the last ones, and those that had ended before


def reap_all() -> None:
    """Bury every child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
