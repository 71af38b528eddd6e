"""How long `import` of the peer's module takes in n fresh processes."""

import statistics
import subprocess
import sys

from adapters._base import Base

PROGRAM = """
import time
started = time.perf_counter()
import {module}
imported = time.perf_counter()
{use}
print(imported - started, time.perf_counter() - started)
"""
#: our public names are loaded when first used, which a bare import would hide
USES = {"scaler": "scaler.Client, scaler.SchedulerClusterCombo"}


def run(peer: Base, n: int = 10) -> dict[str, float]:
    """The median of the bare import, and with the names that every program uses."""
    program = PROGRAM.format(module=peer.MODULE, use=USES.get(peer.MODULE, ""))
    pairs = [subprocess.check_output([sys.executable, "-c", program], text=True).split() for _ in range(n)]
    bare, used = ([float(text) * 1000 for text in column] for column in zip(*pairs, strict=True))
    return {"import_ms": statistics.median(bare), "with_names_ms": statistics.median(used)}
