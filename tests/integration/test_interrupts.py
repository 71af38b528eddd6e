"""Ctrl-C while a client is used: the client stays as usable as it was, and its answers right."""

import pytest

from tests.integration.processes import Place

SUBMITS = """
import random, signal, sys
from scaler import Client, SchedulerClusterCombo

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(int(sys.argv[1]))
functions = [abs, float, int, bool]
with SchedulerClusterCombo(n_workers=1, private=True) as cluster, Client(cluster) as client:
    hits = 0
    while hits < 100:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00001 + random.random() * 0.002)
            futures = [client.submit(random.choice(functions), number) for number in range(300)]
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            hits += 1
        later = [client.submit(function, -4) for function in functions]
        assert client.submit(sum, later).result(20) == -4 + -4.0 + 4 + 1
    print("end")
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_client_whose_submits_were_interrupted_serves_the_next(place: Place, seed: int):
    script = place.script(SUBMITS, str(seed))
    assert script.wait() == 0, script.err
    assert script.out == "end\n"
