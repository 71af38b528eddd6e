"""What tests do to the disk under durable works: watch what is synced, cut the power, damage files, fill them up."""

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.processes import Command, Place

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace sees what is synced")
#: starts a scheduler whose writes and syncs are written down in a file as they happen
TRACED = """
import os, sys
traced = "trace=pwrite64,fdatasync,fsync,ftruncate"
os.execv(sys.argv[1], [sys.argv[1], "-f", "-y", "-s", "0", "-e", traced, "-o", sys.argv[2], *sys.argv[3:]])
"""
_CALL = re.compile(r"\d+ +(\w+)\(\d+<([^>]*)>(?:, \"\"\.\.\., (\d+), (\d+)|, (\d+))?\) += (-?\d+)")


class Trace:
    """What a scheduler has written and synced by now, as strace tells."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _calls(self) -> list[tuple[str, Path, int, int]]:
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            match = _CALL.match(line)
            if match is not None and int(match[6]) >= 0:
                found.append((match[1], Path(match[2]), int(match[3] or match[5] or 0), int(match[4] or 0)))
        return found

    def syncs(self) -> int:
        """How many times the log of a work was synced."""
        return sum(call in {"fdatasync", "fsync"} and path.name.endswith("-wal") for call, path, _, _ in self._calls())

    def unsynced(self) -> dict[Path, list[tuple[int, int]]]:
        """What was written to each file and not synced behind that: places and sizes."""
        found: dict[Path, list[tuple[int, int]]] = {}
        for call, path, size_bytes, at in self._calls():
            if call == "pwrite64":
                found.setdefault(path, []).append((at, size_bytes))
            elif call in {"fdatasync", "fsync"}:
                found.pop(path, None)
        return found


def traced_scheduler(place: Place, name: str, *options: str) -> tuple[Command, str, Trace]:
    """A scheduler under strace, where it listens, and what it writes."""
    assert STRACE is not None
    path = place.folder / name
    words = [str(place.program("scaler_scheduler")), "tcp://127.0.0.1:0", *options]
    command = place.script(TRACED, STRACE, str(path), *words)
    return command, command.wait_for("listening on ").rpartition(" ")[2], Trace(path)


def cut_power(trace: Trace) -> int:
    """Lose what was written and never synced: a power cut may leave anything there, so zeros; how many bytes."""
    lost = 0
    for path, places in trace.unsynced().items():
        if path.exists() and ".sqlite" in path.name:
            with path.open("r+b") as file:
                for at, size_bytes in places:
                    file.seek(at)
                    file.write(bytes(size_bytes))
                    lost += size_bytes
    return lost


def only_work(state: Path, side: str = "") -> Path:
    """The one file of durable works there, or what lies beside it."""
    [found] = (state / "durable").glob(f"nightly-*.sqlite{side}")
    return found


def flip(path: Path, at: int) -> None:
    """Turn one byte of a file into another."""
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x55]))
