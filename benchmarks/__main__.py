"""`python -m benchmarks`: measure this project and the installed peers in turn, print the table, keep the results."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from benchmarks import machine, report
from benchmarks.measured import procs
from benchmarks.measuring import Line, measure
from benchmarks.peers import FOLDER, PEERS, Peer
from benchmarks.rows import ROWS, Row

RESULTS = Path(__file__).parent / "results"
NOTES = "Medians; x ratios are medians over the turns of ours to theirs. * at a smaller n than ours; - not offered."


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options, with names checked against what there is."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rows", type=_names([row.name for row in ROWS]), help="only these, separated by commas")
    parser.add_argument("--peers", type=_names(list(PEERS)), help="these beside us, instead of each row's own")
    parser.add_argument("--repeat", type=int, default=3, help="turns through the peers of a row (default 3)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, once: does everything work?")
    parser.add_argument("--list", action="store_true", help="say which rows and peers there are, and end")
    parser.add_argument("--table", nargs="+", type=Path, metavar="JSONL", help="only print the table of these results")
    return parser.parse_args(words)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}")
        return found

    return names


def peers_of(row: Row, asked: Sequence[str] | None) -> list[Peer]:
    """Who takes part in a row, we first; peers that are not installed are left out."""
    names = row.peers if asked is None else tuple(asked) if row.is_for_all else ()
    return [PEERS[name] for name in dict.fromkeys((row.ours, *names)) if PEERS[name].is_installed]


def run_row(row: Row, options: argparse.Namespace, log: IO[bytes]) -> Iterator[Line]:
    """Measure one row: every peer in turn, and then again."""
    flags = {**row.flags, **(row.quick if options.quick else {})}
    for turn in range(1 if options.quick else options.repeat):
        for peer in peers_of(row, options.peers):
            log.write(f"\n=== {row.name} {peer.name} {turn}\n".encode())
            log.flush()
            named = {"row": row.name, "workload": row.workload, "peer": peer.name, "turn": turn}
            yield named | measure(row.workload, peer, flags, row.timeout_s, log)


def show_list() -> None:
    """Rows with their peers, and peers with where they are."""
    for row in ROWS:
        print(f"{row.name:<16} {row.title}  [{', '.join(row.peers) or 'only this project'}]")
    print()
    for peer in PEERS.values():
        print(f"{peer.name:<22} {peer.python if peer.is_installed else 'not installed: make bench-peers'}")


def run(options: argparse.Namespace) -> list[Line]:
    """Measure what was asked for; each line is kept as soon as it is there."""
    facts = machine.facts()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{facts['commit']}{'-quick' if options.quick else ''}"
    print(", ".join(f"{key} {value}" for key, value in facts.items()), f"load {os.getloadavg()[0]:.2f}", sep=", ")
    missing = [peer.name for peer in PEERS.values() if not peer.is_installed]
    if missing:
        print(f"skipped, because not installed (make bench-peers): {', '.join(missing)}")
    lines = []
    path = RESULTS / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as file, path.with_suffix(".log").open("ab") as log:
        for row in [row for row in ROWS if not options.rows or row.name in options.rows]:
            print(f"{row.name} …", end="", flush=True)
            for line in run_row(row, options, log):
                lines.append(line)
                print(json.dumps(line | facts), file=file, flush=True)
                print(f" {PEERS[line['peer']].label}{'!' if 'error' in line else ''}", end="", flush=True)
            print()
    print(f"kept in {path}")
    return lines


def kept(path: Path) -> Iterator[Line]:
    """The lines of an earlier run; its turns are told from those of other runs."""
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        yield line | {"turn": f"{path.stem} {line['turn']}"}


def main(words: Sequence[str]) -> int:
    """Exit status 1 when a run of ours failed, or when a bar is not met at full size; else 0."""
    options = parse(words)
    if options.list:
        show_list()
        return 0
    if options.table:
        lines = [line for path in options.table for line in kept(path)]
    else:
        procs.become_subreaper()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended on the way out
        FOLDER.mkdir(parents=True, exist_ok=True)
        lines = run(options)
    print(f"\n{report.table(lines)}\n\n{NOTES}")
    if options.quick:
        print("Quick sizes: the verdicts say little.")
    verdicts = report.verdicts(lines)
    return int("failed" in verdicts or (not options.quick and "below" in verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
