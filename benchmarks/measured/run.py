"""Runs one workload on one peer and prints one line of JSON: `run.py WORKLOAD PEER [--flag value ...]`.

The flags are the keyword arguments of the workload's `run`. It is started with the Python of the peer's environment,
with this folder on PYTHONPATH and PEERS_DIR set; `benchmarks.measuring` does that.
"""

import argparse
import importlib
import inspect
import json
import os
import sys
import threading
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import procs
from adapters._base import Base, Unsupported

STOP_SECONDS = 10

Line = dict[str, Any]


def parse(words: list[str]) -> tuple[Any, Base, dict[str, Any]]:
    """The workload's module, the peer, and the workload's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload")
    parser.add_argument("peer")
    names, rest = parser.parse_known_args(words)
    workload = importlib.import_module(f"workloads.{names.workload}")
    peer = importlib.import_module(f"adapters.{names.peer}").Peer()
    flags = argparse.ArgumentParser(prog=f"run.py {names.workload} {names.peer}")
    for parameter in inspect.signature(workload.run).parameters.values():
        if parameter.name != "peer":
            flags.add_argument(f"--{parameter.name}", type=type(parameter.default), default=parameter.default)
    return workload, peer, vars(flags.parse_args(rest))


def finish(line: Line, output: int) -> NoReturn:
    """Say what was found, end what is left, and leave without waiting for anybody's threads."""
    procs.kill_descendants(os.getpid())
    os.write(output, (json.dumps(line) + "\n").encode())
    os._exit(0)


def stop_and_finish(peer: Base, line: Line, output: int) -> NoReturn:
    """Stop the peer as its users do, but wait no longer than STOP_SECONDS."""
    late = [{**line, "stop_s": f"over {STOP_SECONDS}"}, output]
    watchdog = threading.Timer(STOP_SECONDS, finish, late)
    watchdog.daemon = True
    watchdog.start()
    started = time.monotonic()
    try:
        peer.stop()
    except Exception:  # noqa: BLE001  # the figures are taken; how a peer ends is only noted
        traceback.print_exc()
    watchdog.cancel()
    finish({**line, "stop_s": round(time.monotonic() - started, 2)}, output)


def main() -> NoReturn:
    """Measure, and print the line on what was standard output; whatever the peer prints goes to standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    procs.become_subreaper()
    load = os.getloadavg()[0]
    workload, peer, arguments = parse(sys.argv[1:])
    package = version(peer.PACKAGE) if peer.PACKAGE else "stdlib"
    line: Line = {"version": package, **arguments, "load_before": round(load, 2)}
    try:
        figures = workload.run(peer, **arguments)
        line |= {key: round(value, 5) if isinstance(value, float) else value for key, value in figures.items()}
    except Unsupported as answer:
        line["unsupported"] = str(answer)
    except Exception as error:  # noqa: BLE001  # a peer that fails is a line like any other
        traceback.print_exc()
        line["error"] = f"{type(error).__name__}: {error}"[:300]
    stop_and_finish(peer, line, output)


if __name__ == "__main__":
    main()
