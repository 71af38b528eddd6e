import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scaler.ids import Epoch
from scaler.payload import nested


class FakeTask:
    """A task as far as it matters here."""

    is_over = False


class FakePlace:
    """A slot with a task, or without."""

    def __init__(self, task: FakeTask | None = None) -> None:
        self.held = task

    def task(self) -> Any:  # Any: a task as far as it matters here
        return self.held


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    nested.leave()


def in_thread(call: Callable[[], object]) -> object:
    """What a call returns in a thread of its own."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def occupy(place: FakePlace) -> None:
    """Have a thread of its own run the tasks of a slot."""
    in_thread(lambda: nested.occupy(place))


def test_outside_of_workers_nobody_is_inside_of_a_task():
    assert (nested.here(), nested.current(), nested.address()) == (None, None, None)
    assert not nested.is_home("", 0)


def test_the_thread_of_a_slot_is_in_whatever_task_is_in_it():
    task, place = FakeTask(), FakePlace()
    nested.occupy(place)
    assert (nested.here(), nested.current()) == (None, None)
    place.held = task
    assert (nested.here(), nested.current()) == (task, task)


def test_another_thread_belongs_to_the_only_task_that_runs():
    task = FakeTask()
    occupy(FakePlace(task))
    occupy(FakePlace())
    assert in_thread(nested.current) is task
    assert in_thread(nested.here) is None


def test_it_stays_with_that_task_when_others_have_followed():
    task, place = FakeTask(), FakePlace()
    occupy(place)
    place.held = task

    def twice() -> object:
        first = nested.current()
        place.held = FakeTask()
        return first, nested.current()

    assert in_thread(twice) == (task, task)


def test_it_belongs_to_none_where_several_run():
    occupy(FakePlace(FakeTask()))
    occupy(FakePlace(FakeTask()))
    assert in_thread(nested.current) is None


def test_a_worker_knows_its_scheduler_by_address_and_by_every_name_it_has_had():
    nested.settle("tcp://127.0.0.1:1")
    nested.has_served(Epoch(7))
    nested.has_served(Epoch(8))
    assert nested.address() == "tcp://127.0.0.1:1"
    assert nested.is_home("tcp://127.0.0.1:1", 0)
    assert nested.is_home("tcp://elsewhere:1", 7)
    assert nested.is_home("tcp://elsewhere:1", 8)
    assert not nested.is_home("tcp://elsewhere:1", 9)


def test_what_a_task_forks_off_is_in_no_task():
    nested.settle("tcp://127.0.0.1:1")
    nested.has_served(Epoch(7))
    nested.occupy(FakePlace(FakeTask()))
    nested.leave()
    assert (nested.here(), nested.current(), nested.address()) == (None, None, None)
    assert not nested.is_home("tcp://127.0.0.1:1", 7)
