"""`python -m benchmarks.chaos`: run the scenarios one after the other, print the table, keep the results."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from benchmarks import machine
from benchmarks.chaos.scenario import Line, Scenario, table, verdicts
from benchmarks.chaos.scenarios import SCENARIOS
from benchmarks.measured import procs
from benchmarks.measuring import bounded

RESULTS = Path(__file__).parents[1] / "results"
#: logs, lines and stories of a scenario that failed a bar; larger files are none of these
KEPT_BYTES = 32 << 20


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options, with numbers checked against what there is."""
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--scenario", type=_numbers, default=list(SCENARIOS), help="only these, separated by commas")
    parser.add_argument("--seed", type=int, default=1, help="what all chance follows from (default 1)")
    parser.add_argument("--ci", action="store_true", help="the sizes for every change instead of the full ones")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are, and end")
    return parser.parse_args(words)


def _numbers(text: str) -> list[str]:
    found = [number for number in text.split(",") if number]
    unknown = [number for number in found if number not in SCENARIOS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    return found


def run_scenario(scenario: Scenario, options: argparse.Namespace, kept: Path, log: IO[bytes]) -> Line:
    """Run one; where it fails a bar, its logs and lines are kept beside the results."""
    size, timeout_s = ("ci", scenario.ci_timeout_s) if options.ci else ("full", scenario.full_timeout_s)
    named = {"scenario": scenario.number, "size": size, "seed": options.seed, **scenario.sizes(options.ci)}
    if scenario.needs_hosts and (os.geteuid() != 0 or shutil.which("ip") is None):
        return named | {"skipped": "needs root and iproute2"}
    folder = Path(tempfile.mkdtemp(prefix="scaler-c-", dir="/tmp"))  # short: socket paths have a limit
    words = [scenario.number, str(folder), str(options.seed), size]
    environment = os.environ | {"PYTHONPATH": str(machine.ROOT)}
    command = [sys.executable, "-m", "benchmarks.chaos.run", *words]
    try:
        line = named | bounded(command, machine.ROOT, environment, timeout_s, log)
        if "FAIL" in verdicts(scenario, line):
            _keep(folder, kept / scenario.number)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return line


def _keep(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < KEPT_BYTES and path.suffix != ".key":
            shutil.copyfile(path, kept / "-".join(path.relative_to(folder).parts))


def run(options: argparse.Namespace) -> dict[str, Line]:
    """Run what was asked for; each line is kept as soon as it is there."""
    facts = machine.facts()
    name = f"chaos-{time.strftime('%Y%m%d-%H%M%S')}-{facts['commit']}{'-ci' if options.ci else ''}"
    print(", ".join(f"{key} {value}" for key, value in facts.items()), f"seed {options.seed}", sep=", ")
    lines = {}
    path = RESULTS / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as file, path.with_suffix(".log").open("ab") as log:
        for number in options.scenario:
            log.write(f"\n=== {number}\n".encode())
            log.flush()
            print(f"{number} {SCENARIOS[number].title} …", end="", flush=True)
            load = {"load_before": round(os.getloadavg()[0], 2)}
            line = lines[number] = run_scenario(SCENARIOS[number], options, RESULTS / name, log)
            print(json.dumps(line | load | facts), file=file, flush=True)
            print(f" {line.get('run_s', 0)} s", flush=True)
    print(f"kept in {path}")
    return lines


def main(words: Sequence[str]) -> int:
    """Exit status 1 when a bar is not met."""
    options = parse(words)
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.number:<8} {scenario.title}")
        return 0
    procs.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended on the way out
    lines = run(options)
    print(f"\n{table([SCENARIOS[number] for number in lines], lines)}")
    return int(any("FAIL" in verdicts(SCENARIOS[number], line) for number, line in lines.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
