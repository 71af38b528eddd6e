"""The command: play histories by seed, print the failing one, or replay one with everything asked for in it."""

# ruff: noqa: T201  # prints are its output

import argparse
import gc
import hashlib
import json
import re
import secrets
import sys
import traceback
from itertools import count

from tests.simulation.history import History
from tests.simulation.tally import Tally

#: histories between two collections of garbage, which costs as much as a few histories
COLLECT_EVERY = 100


def play(seeds: range) -> Tally:
    """Play these histories; a failure is printed with its seed and raised."""
    total = Tally()
    gc.freeze()
    gc.disable()
    for number, seed in enumerate(seeds):
        history = History(seed)
        try:
            total.add(history.play())
        except Exception:
            print(f"seed {seed} fails; replay it by: python -m tests.simulation --seed {seed}", file=sys.stderr)
            raise
        history.dissolve()
        if number % COLLECT_EVERY == 0:
            gc.collect()
    return total


def log_of(seed: int) -> tuple[list[str], str]:
    """Every command of one history, and why it failed, if it did."""
    lines: list[str] = []
    try:
        History(seed, lines.append).play()
    except Exception:  # noqa: BLE001  # it is shown
        return lines, traceback.format_exc()
    return lines, ""


def main() -> int:
    """Parse, play, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this history with its log")
    parser.add_argument("--digest", action="store_true", help="print no log, but its digest")
    parser.add_argument("--first", type=int, help="play from this seed on …")
    parser.add_argument("--last", type=int, help="… to the one before this, and print what was met as JSON")
    parser.add_argument("--step", type=int, default=1, help="play one in so many of these")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments.seed, is_digest=arguments.digest)
    if arguments.last is not None:
        print(json.dumps(play(range(arguments.first or 0, arguments.last, arguments.step)).to_json()))
        return 0
    return _fuzz(arguments.first)


def _replay(seed: int, *, is_digest: bool) -> int:
    lines, failure = log_of(seed)
    # views of bytes are told apart by their addresses only
    text = re.sub(r"<memory at \w+>", "<memory>", "\n".join(lines))
    print(hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if is_digest else text)
    print(failure, file=sys.stderr)
    return 1 if failure else 0


def _fuzz(first: int | None) -> int:
    begin = secrets.randbits(32) if first is None else first
    total = Tally()
    try:
        for seed in count(begin, COLLECT_EVERY):
            total.add(play(range(seed, seed + COLLECT_EVERY)))
            print(f"{total.histories} histories from seed {begin} on, {total.tasks} tasks, all well", flush=True)
    except KeyboardInterrupt:
        return 0
    return 0
