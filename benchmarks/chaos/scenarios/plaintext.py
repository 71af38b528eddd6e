"""Connections without encryption where other machines can reach them, without the words that allow it."""

from benchmarks.chaos.scenario import Figures, Scenario
from benchmarks.chaos.system import Chaos
from benchmarks.rows import Bar
from scaler import Client
from scaler.errors import InsecureError

#: all interfaces, and an address of a network that is not this machine's
LISTENS, ELSEWHERE = "tcp://0.0.0.0:0", "tcp://10.255.255.1:8516"
SECOND_FLAG, SECOND_WORD = "--insecure-off-loopback", "insecure_off_loopback=True"


def run(chaos: Chaos) -> Figures:
    """Scheduler, cluster and client: each has to refuse and to name what would allow it."""
    commands = [
        chaos.place.start("scaler_scheduler", LISTENS, "--insecure"),
        chaos.place.start("scaler_worker", "-n", "1", ELSEWHERE, "--insecure"),
    ]
    codes = [command.wait() for command in commands]
    named = sum(SECOND_FLAG in command.err for command in commands)
    try:
        Client(ELSEWHERE, insecure=True)
    except InsecureError as error:
        return {"refused": sum(code != 0 for code in codes) + 1, "named": named + (SECOND_WORD in str(error))}
    return {"refused": sum(code != 0 for code in codes), "named": named}


SCENARIO = Scenario(
    "19",
    "plaintext off loopback",
    run,
    (
        Bar("refused", "of 3 that refuse", at_least=3),
        Bar("named", "of 3 that name the remedy", at_least=3),
    ),
)
