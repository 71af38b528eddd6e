"""The scheduler's process opens no pickle and never loads what could make one, whatever passes through it."""

import json

from tests.integration.processes import Place

#: a scheduler whose every look-up by an unpickler is written down, and at its end which modules it has loaded
WATCHED = """
import json, sys

report = sys.argv.pop(1)
found = []
sys.addaudithook(lambda event, arguments: found.append(arguments) if event == "pickle.find_class" else None)

from scaler.cli.main import main

try:
    main()
finally:
    told = {"found": [str(one) for one in found], "modules": sorted(sys.modules)}
    import pickle
    pickle.loads(pickle.dumps(json.JSONDecodeError))
    told["would have been seen"] = len(found) - len(told["found"])
    with open(report, "w") as file:
        json.dump(told, file)
"""

#: modules that make or open pickles of user data, or that would let them be opened in this process
NEVER = {"cloudpickle", "multiprocessing", "tblib", "dill"}

PROGRAM = """
import sys
from scaler import Client

class Odd(Exception):
    def __reduce__(self):
        return open, ("/nowhere", "no such mode")

class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right

def swap(pair):
    return Pair(pair.right, pair.left)

def fail(number):
    if number == 3:
        raise Odd(number)
    if number == 5:
        raise ValueError(number)
    return number

with Client(sys.argv[1]) as client:
    pairs = client.map(swap, [Pair(n, -n) for n in range(1000)])
    assert [(pair.left, pair.right) for pair in pairs] == [(-n, n) for n in range(1000)]
    outcomes = client.map(fail, range(8), return_exceptions=True)
    print([type(one).__name__ for one in outcomes])
    print(client.submit(lambda x: x + 1, 1).result(), len(client.submit(bytes, 3_000_000).result()))
"""


def test_nothing_that_passes_through_the_scheduler_is_unpickled_there(place: Place):
    report = place.path("report")
    scheduler = place.script(WATCHED, report, "scheduler", "tcp://127.0.0.1:0")
    address = scheduler.wait_for("listening on ").rpartition(" ")[2]
    place.cluster(address, 2)
    program = place.script(PROGRAM, address)
    assert (program.wait(), program.err) == (0, "")
    kinds, sizes = program.out.splitlines()
    assert kinds.count("ValueError") == 1
    assert sizes == "2 3000000"
    assert scheduler.end() == 0
    with open(report, encoding="utf-8") as file:
        told = json.load(file)
    assert told["found"] == []
    assert told["would have been seen"] == 1
    assert NEVER & {name.partition(".")[0] for name in told["modules"]} == set()
    assert [name for name in told["modules"] if name.startswith("scaler.payload")] == []
