"""One scenario in a process of its own: `run.py NUMBER FOLDER SEED ci|full` prints its figures as a line of JSON."""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import pytest

from benchmarks.chaos.scenario import Line
from benchmarks.chaos.scenarios import SCENARIOS
from benchmarks.chaos.system import Chaos, left_behind, place_in


def measure(number: str, folder: Path, seed: int, is_ci: bool) -> Line:  # noqa: FBT001  # as it comes from the command line
    """The figures, or the error; a story of what was done lies in the folder."""
    scenario = SCENARIOS[number]
    with place_in(folder) as place:
        chaos = Chaos(place, seed)
        started = time.monotonic()
        try:
            line: Line = dict(scenario.measure(chaos, is_ci))
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001  # it is the outcome of the scenario
            traceback.print_exc()
            line = {"error": f"{type(error).__name__}: {error}"[:300]}
        chaos.tell(f"began at {started:.3f}; the figures: {line}")
        (folder / "story").write_text("\n".join(chaos.story) + "\n", encoding="utf-8")
        line["left"] = left_behind(place)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}


def main() -> None:
    """Print on what was standard output; all else goes to standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    number, folder, seed, size = sys.argv[1:]
    line = measure(number, Path(folder), int(seed), size == "ci")
    os.write(output, (json.dumps(line) + "\n").encode())
    sys.stdout.flush()
    os._exit(0)  # threads of clients that were cut off hold nobody up


if __name__ == "__main__":
    main()
