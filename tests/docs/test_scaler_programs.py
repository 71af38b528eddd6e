"""Programs as the documentation of Scaler has them: they run here as they are, and print what they print there.

Each is a file of a user's own, run by itself; only its address is given to it.
"""

import re
from collections.abc import Iterator

import pytest

from tests.docs.scaler_programs import PROGRAMS, Program
from tests.integration.processes import Place, own_place


@pytest.fixture
def place() -> Iterator[Place]:
    with own_place() as place:
        yield place


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_of_scalers_documentation_prints_what_it_prints_there(place: Place, program: Program):
    script = place.script(program.text, "tcp://127.0.0.1:0")
    assert (script.wait(), script.out) == (0, program.output), script.err
    warned = re.findall(r"DeprecationWarning: (\w+) means nothing here", script.err)
    assert sorted(warned) == sorted(program.warns)
    assert place.processes() == []
    assert place.run_files() == []


SQUARE = """
import sys

from scaler import Client


def square(value: int):
    return value * value


with Client(address=sys.argv[1]) as client:
    future = client.submit(square, 4)
    print(future.result())
"""


def test_the_commands_of_scalers_documentation_with_every_option_they_have_there(place: Place):
    monitor = f"ipc://{place.folder}/run/monitor"
    words = "-p -ct 60 -wt 60 -mt -1 -ot 60 -e uvloop -qs 1000 --scheduler-io-threads 1 --load-balance-seconds 1 "
    words += "--load-balance-trigger-times 2 --logging-paths /dev/stdout --logging-level INFO"
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "-ma", monitor, *words.split())
    words = "-n 4 -wn a,b,c,d -hi 2 -ds 300 --task-timeout-seconds 0 -gc 30 -tm 1073741824 -e builtin -it 1"
    cluster = place.start("scaler_cluster", *words.split(), "--preload", "math:sqrt(4.0)", address)
    cluster.wait_for("Worker[", count=4)
    scheduler.wait_for(f"monitor address is {monitor}")
    scheduler.wait_for("use event loop: uvloop")
    script = place.script(SQUARE, address)
    assert (script.wait(), script.out, script.err) == (0, "16\n", "")
    assert (cluster.end(), scheduler.end()) == (0, 0), scheduler.out + scheduler.err
    for command, count in ((scheduler, 5), (cluster, 1)):
        assert command.err.count("means nothing here") == count, command.err
