"""The quickstart that users of Scaler know, as they know it."""

from tests.integration.processes import Place

TWO_TERMINALS = """
import sys
from scaler import Client

def calculate(number):
    return number

address = sys.argv[1]
tasks = list(range(1000))
with Client(address=address) as client:
    results = client.map(calculate, [(i,) for i in tasks])

assert results == tasks
print("equal")
"""

ONE_PROCESS = """
import math
import sys
from scaler import Client, SchedulerClusterCombo

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=3)
with Client(address=cluster.get_address()) as client:
    results = client.map(math.sqrt, [(i,) for i in range(100)])
    future = client.submit(lambda number: number * 2, 21)
    print(sum(results), future.result())
cluster.shutdown()
"""


def test_two_terminals_and_a_script_without_a_main_guard(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0")
    workers = place.start("scaler_worker", "-n", "10", address)
    workers.wait_for("Worker[", count=10)
    script = place.script(TWO_TERMINALS, address)
    assert (script.wait(), script.out, script.err) == (0, "equal\n", "")
    assert workers.end() == scheduler.end() == 0
    assert (workers.err, scheduler.err) == ("", "")
    assert place.run_files() == []


def test_workers_may_be_started_before_their_scheduler_and_the_client_before_both(place: Place):
    address = f"ipc://{place.folder}/run/here"
    script = place.script(TWO_TERMINALS, address)
    workers = place.start("scaler_cluster", "-n", "2", address)
    place.scheduler(address)
    assert (script.wait(), script.out) == (0, "equal\n"), script.err
    workers.wait_for("connected")


def test_one_process_with_a_cluster_of_its_own(place: Place):
    script = place.script(ONE_PROCESS, "tcp://127.0.0.1:0")
    assert (script.wait(), script.out, script.err) == (0, "661.4629471031477 42\n", "")
    assert place.processes() == []


def test_one_process_with_a_cluster_at_a_socket_of_its_own(place: Place):
    script = place.script(ONE_PROCESS, "ipc://mine")
    assert (script.wait(), script.out, script.err) == (0, "661.4629471031477 42\n", "")
    assert place.run_files() == []
