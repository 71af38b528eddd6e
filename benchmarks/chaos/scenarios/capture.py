"""All that goes over the wire is written down and searched for names, arguments and results."""

import time
from pathlib import Path

from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos, System
from benchmarks.chaos.wire import Wire
from benchmarks.rows import Bar
from scaler import Client

ARGUMENT, RESULT = "an-argument-that-nobody-reads", "a-result-that-nobody-reads"
#: what must not be found: function and task name, argument, result; as they are, and as words of two bytes
WORDS = ("telling_name_of_a_function", "telling-name-of-a-task", ARGUMENT, RESULT)
MARKS = [word.encode(encoding) for word in WORDS for encoding in ("utf-8", "utf-16-le")]
#: pieces of the file are searched one after the other, each with the end of the one before
PIECE_BYTES = 1 << 24


def telling_name_of_a_function(argument: str) -> str:
    """What is looked for on the wire."""
    return argument.replace(ARGUMENT, RESULT)


def found_in(path: Path) -> int:
    """How many of the marks the file has."""
    overlap, tail = max(map(len, MARKS)), b""
    found: set[bytes] = set()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            found.update(mark for mark in MARKS if mark in tail + piece)
            tail = piece[-overlap:]
    return len(found)


def captured(chaos: Chaos, name: str, tasks: int, *flags: str) -> tuple[int, int]:
    """How much went over the wire between scheduler, cluster and client, and how many marks were in it."""
    path = chaos.place.folder / name
    system = System(chaos, *flags)
    with Wire(system.address, path) as wire:
        system.address = wire.address
        system.add_clusters(1, 2, *flags)
        with Client(wire.address, insecure=bool(flags)) as client:
            arguments = [f"{ARGUMENT}-{number}" for number in range(tasks)]
            results = client.map(telling_name_of_a_function, arguments, name="telling-name-of-a-task")
            assert results == [f"{RESULT}-{number}" for number in range(tasks)]
            assert client.submit(telling_name_of_a_function, ARGUMENT * 10_000).result() == RESULT * 10_000
    time.sleep(0.1)
    size = path.stat().st_size
    found = found_in(path)
    path.unlink()
    return size, found


def run(chaos: Chaos, tasks: int) -> Figures:
    """With the default security, and, to see that anything would be found, without any."""
    size, found = captured(chaos, "capture", tasks)
    _, would_be_found = captured(chaos, "control", 100, "--insecure")
    return {"readable": found, "mb": size / 1e6, "control": would_be_found}


SCENARIO = Scenario(
    "20",
    "capture of the wire",
    run,
    (
        Bar("readable", "names, arguments, results read", at_most=0),
        Bar("control", "of 4 read without encryption", at_least=4),
        Bar("mb", "MB captured", at_least=0.1),
    ),
    full={"tasks": 100_000},
    ci={"tasks": 10_000},
)
