"""One measurement: a process of its own under the peer's Python, bounded in time, and nothing of it left behind."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks.machine import ROOT
from benchmarks.measured import procs
from benchmarks.peers import FOLDER, Flags, Peer

MEASURED = Path(__file__).parent / "measured"

Line = dict[str, Any]


def measure(workload: str, peer: Peer, flags: Flags, timeout_s: float, log: IO[bytes]) -> Line:
    """What the run said, or why it said nothing; the caller must be a subreaper and start no other children."""
    words = [word for name, value in peer.sized(workload, flags).items() for word in (f"--{name}", str(value))]
    command = [str(peer.python), "run.py", workload, peer.name, *words]
    return bounded(command, MEASURED, _environment(peer), timeout_s, log)


def bounded(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float, log: IO[bytes]
) -> Line:
    """What a process printed as a line of JSON, or why it did not; the caller is as for `measure`."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:  # not a pipe: processes left behind would keep it open
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=log, start_new_session=True
            )
            line = _outcome(process, output, timeout_s)
        finally:
            survivors = procs.kill_descendants(os.getpid())
            procs.reap_children()
    if survivors:
        line["survivors"] = survivors
    return line | {"run_s": round(time.monotonic() - started, 1)}


def _outcome(process: subprocess.Popen[bytes], output: IO[bytes], timeout_s: float) -> Line:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return {"error": f"timeout: over {timeout_s:g} s"}
    output.seek(0)
    text = output.read()
    return json.loads(text) if text else {"error": f"crash: exit status {process.returncode}"}


def _environment(peer: Peer) -> dict[str, str]:
    """The path holds what is measured with; the repository only where it is the peer itself.

    Bytecode is kept, as it is where a package was installed: the first of several starts compiles.
    """
    path = [str(MEASURED), *([str(ROOT)] if peer.is_ours else [])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "",
        "PEERS_DIR": str(FOLDER),
    }
