"""The private cluster of a process: one at a time, and none of another process."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from scaler.cluster import own
from scaler.cluster.own import end_own_cluster, own_cluster


class Combo:
    """Stands for a cluster; counts those that were made and stopped."""

    made: list["Combo"]

    def __init__(self, n_workers: int, address: str, **others: Any) -> None:
        self.address = address
        self.others = others
        self.n_workers = n_workers
        self.is_running = True
        self.made.append(self)

    def get_address(self) -> str:
        return self.address

    def shutdown(self) -> None:
        self.is_running = False


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Combo]]:
    monkeypatch.setattr(Combo, "made", [], raising=False)
    monkeypatch.setattr(own, "SchedulerClusterCombo", Combo)
    monkeypatch.setattr(own, "default_workers", lambda: 3)
    yield Combo.made
    own._started.clear()


def test_it_is_started_once_for_a_process_and_nobody_else_finds_it(made: list[Combo]):
    address, workers = own_cluster()
    assert workers == 3
    assert own_cluster() == (address, 0)
    (combo,) = made
    assert address.startswith(f"ipc://own-{os.getpid()}-")
    assert (combo.n_workers, combo.others) == (3, {"protected": False, "private": True})


def test_one_that_has_ended_is_replaced_under_another_name(made: list[Combo]):
    first, _ = own_cluster()
    made[0].is_running = False
    second, workers = own_cluster()
    assert (first != second, workers, len(made)) == (True, 3, 2)


def test_one_that_does_not_start_is_no_cluster(made: list[Combo], monkeypatch: pytest.MonkeyPatch):
    def fail() -> int:
        raise OSError("no more processes")

    monkeypatch.setattr(own, "default_workers", fail)
    with pytest.raises(OSError, match="no more processes"):
        own_cluster()
    monkeypatch.setattr(own, "default_workers", lambda: 1)
    assert own_cluster()[1] == 1
    assert len(made) == 1


def test_the_one_at_an_address_can_be_ended(made: list[Combo]):
    address, _ = own_cluster()
    end_own_cluster("ipc:///another")
    assert own_cluster() == (address, 0)
    end_own_cluster(address)
    assert not made[0].is_running
    assert own_cluster()[1] == 3


def test_a_forked_child_has_none_yet(made: list[Combo]):
    own_cluster()
    with own._lock:  # as another thread of the parent may have it
        own._disown()
        assert own_cluster()[1] == 3
    assert len(made) == 2
