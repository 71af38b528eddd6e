"""Processes that do not fit together tell each other so, in a table."""

import os
import sys

import msgspec
import pytest

from scaler import Client
from scaler.cli.endings import ExitCode
from scaler.errors import VersionMismatchError
from scaler.ids import Incarnation, incarnation_of
from scaler.net.addresses import parse_address
from scaler.net.keys import load_key
from scaler.net.transport import Arrived, Connected, Lost
from scaler.net.versions import our_versions
from scaler.net.zmq_dialer import Dialing, ZmqDialer
from scaler.protocol import ToClient
from scaler.protocol.codec import Decoder, pack
from scaler.protocol.connection import Hello, Rejected, Versions
from tests.integration.processes import Command, Place, wait_until

OTHERS = [{"python_minor": "3.99"}, {"protocol": 99}, {"pickle": 6}]

#: a scheduler that says of itself what its arguments say
OTHER_SCHEDULER = """
import json, sys
import msgspec
from scaler.net import versions

other = msgspec.structs.replace(versions.our_versions(), **json.loads(sys.argv[1]))
versions.our_versions = lambda: other
from scaler.cli.main import scheduler_main

sys.argv = ["scaler_scheduler", "tcp://127.0.0.1:0"]
scheduler_main()
"""


class Sent(msgspec.Struct):
    """One packet as the wire has it."""

    message: Hello
    seq: int = 0
    ack: int = 0
    frames: tuple[bytes, ...] = ()


def answers(dialer: ZmqDialer, hello: Hello) -> list[ToClient | Rejected | Hello]:
    """What a scheduler says to a greeting."""
    found: list[ToClient | Rejected | Hello] = []
    decoder = Decoder("to-client")

    def has_answered() -> bool:
        for event in dialer.receive(100):
            if isinstance(event, Connected):
                for frames in pack([Sent(hello)]):
                    dialer.send(frames)
            elif isinstance(event, Arrived):
                found.extend(header.message for header in decoder.decode(event.frames))
            elif isinstance(event, Lost):
                return True
        return bool(found)

    wait_until(has_answered, "the scheduler answers")
    return found


def greet(
    address: str, versions: Versions, role: str = "client", generation: int = 0
) -> list[ToClient | Rejected | Hello]:
    dialing = Dialing(parse_address(address, os.environ), load_key(role, None, os.environ))
    dialer = dialing.dial()
    try:
        hello = Hello(role, incarnation_of(b"7"), Incarnation(0), 0, generation, versions, secret=b"7")
        return answers(dialer, hello)
    finally:
        dialer.close()
        dialing.close()


def test_a_greeting_of_other_versions_is_refused_and_others_are_served(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 1)
    with Client(address=address) as client:
        for other in OTHERS:
            (answer,) = greet(address, msgspec.structs.replace(our_versions(), **other))
            assert isinstance(answer, Rejected)
            assert (answer.code, answer.versions) == ("version", our_versions())
        assert isinstance(greet(address, our_versions())[0], Hello)
        assert client.submit(abs, -1).result() == 1
    scheduler.wait_for(f"reason='its versions are not ours: python=3.99≠{our_versions().python_minor}'")
    scheduler.wait_for("reason='its versions are not ours: protocol=99≠1'")


def other_scheduler(place: Place, versions: str) -> tuple[Command, str]:
    scheduler = place.script(OTHER_SCHEDULER, versions)
    return scheduler, scheduler.wait_for("listening on ").rpartition(" ")[2]


def test_a_client_and_a_cluster_of_another_python_version_are_told_by_a_table(place: Place):
    _, address = other_scheduler(place, '{"python_minor": "3.99"}')
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(VersionMismatchError) as caught:
        Client(address=address)
    rows = [line.split() for line in str(caught.value).splitlines()]
    assert ["here", "scheduler"] in rows
    assert ["Python", ours, "3.99", "<-", "differs"] in rows
    assert ["pickle", "5", "5"] in rows
    worker = place.start("scaler_worker", "-n", "1", address)
    assert worker.wait() == 4
    assert ["Python", ours, "3.99", "<-", "differs"] in [line.split() for line in worker.err.splitlines()]


def test_a_client_of_another_protocol_is_told_by_a_table(place: Place):
    _, address = other_scheduler(place, '{"protocol": 99}')
    with pytest.raises(VersionMismatchError, match=r"protocol +1 +99 +<- differs"):
        Client(address=address)


def test_a_scheduler_that_hears_of_one_that_has_taken_over_ends_and_says_so(place: Place):
    scheduler, address = place.scheduler()
    assert greet(address, our_versions(), "client", generation=7) == []
    assert "it has met a scheduler of generation 7" in scheduler.wait_for("refused")
    assert isinstance(greet(address, our_versions(), "operator")[0], Hello)
    greet(address, our_versions(), "operator", generation=7)
    assert scheduler.wait() == ExitCode.SUPERSEDED
    assert "taken over" in scheduler.err
    assert scheduler.err.count("\n") == 1
