"""What a worker does once it has had nothing to do for a while: collects garbage, and gives freed memory back."""

import ctypes
import gc
from dataclasses import dataclass
from pathlib import Path

_KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Tidying:
    """After how long, and above how many resident bytes what is free is given back to the system."""

    after_s: float
    trim_bytes: int

    def told(self) -> str:
        """In one word, for a command line."""
        return f"{self.after_s!r}:{self.trim_bytes}"

    def tidy(self) -> None:
        """Do it once."""
        gc.collect()
        if resident_bytes() > self.trim_bytes:
            ctypes.CDLL(None).malloc_trim(0)


def tidying_from(told: str) -> Tidying | None:
    """What `Tidying.told` said; None for the empty word."""
    after_s, _, trim_bytes = told.partition(":")
    return Tidying(float(after_s), int(trim_bytes)) if told else None


def resident_bytes() -> int:
    """What this process holds in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * _KIB
    return 0
