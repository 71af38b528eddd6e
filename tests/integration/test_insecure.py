"""Clients of a scheduler that was told to neither encrypt nor ask who comes."""

import pickle

import pytest

from scaler import Client
from scaler.errors import AuthenticationError, InsecureError
from tests.integration.processes import Place


def test_an_insecure_scheduler_is_reached_by_a_client_that_says_so_and_by_its_copies(place: Place):
    _, address = place.scheduler("tcp://127.0.0.1:0", "--insecure")
    place.cluster(address, 1, "--insecure")
    with Client(address, insecure=True) as client:
        assert client.map(abs, [-1, -2]) == [1, 2]
        with pickle.loads(pickle.dumps(client)) as copy:  # noqa: S301  # our own bytes
            assert copy.submit(abs, -3).result() == 3
    assert not (place.folder / "c" / "scaler" / "keys").exists()


@pytest.mark.usefixtures("place")
def test_off_this_machine_a_client_needs_a_second_word():
    with pytest.raises(InsecureError, match=r"insecure_off_loopback=True if you trust every machine"):
        Client("tcp://10.255.255.1:1", insecure=True)


def test_a_client_of_the_other_kind_is_refused_and_told(place: Place):
    _, insecure = place.scheduler("tcp://127.0.0.1:0", "--insecure")
    _, secure = place.scheduler()
    with pytest.raises(AuthenticationError, match="wants a key and this client shows none: leave insecure=True away"):
        Client(secure, insecure=True, timeout_seconds=20)
    with pytest.raises(AuthenticationError, match="does not accept the key"):
        Client(insecure, timeout_seconds=20)
