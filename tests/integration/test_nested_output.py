"""What nested tasks print reaches the terminal of the outermost client, as what its own tasks print does."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

from scaler import Client, SchedulerClusterCombo
from tests.integration.processes import PATIENCE_S, Place, wait_until
from tests.integration.terminals import Terminal, echoed, told

DONE_S = PATIENCE_S


def leaf(text: str) -> str:
    print(text)  # noqa: T201  # that is the point
    print(f"{text} err", file=sys.stderr)  # noqa: T201  # that is the point
    return text


def silent(client: Client, texts: list[str]) -> list[str]:
    """Say nothing itself."""
    return client.map(leaf, texts)


def by_its_own(texts: list[str], stream_output: bool) -> list[str]:  # noqa: FBT001  # it comes through `submit`
    with Client(stream_output=stream_output) as client:
        return client.map(leaf, texts)


def around(client: Client, depth: int) -> int:
    """Say where it is before and after the next one within."""
    print(f"down {depth}")  # noqa: T201  # that is the point
    if depth:
        client.submit(around, client, depth - 1, name=f"level{depth}").result()
    print(f"up {depth}")  # noqa: T201  # that is the point
    return depth


def leave_running(client: Client, path: str) -> None:
    """End while the child, which has spoken, still runs."""
    future = client.submit(speak_and_stay, path)
    while not Path(path).exists():
        client.wait([future], timeout=0.01)


def speak_and_stay(path: str) -> None:
    print("I am here")  # noqa: T201  # that is the point
    with open(path, "w", encoding="utf-8") as file:
        file.write("x")
    while True:
        pass


def captured(client: Client) -> str:
    """What a task catches of its own is its own; a child's lines are not in it."""
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        print("caught")  # noqa: T201  # that is the point
        client.submit(leaf, "free").result()
    return caught.getvalue()


def elsewhere(other: Client) -> str:
    """Use a client of another scheduler, which has a terminal of its own here: this task's."""
    return other.submit(leaf, "from afar").result()


def test_lines_of_children_are_shown_when_their_parent_says_nothing(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    cluster = place.cluster(address, 2)
    with Client(address) as client:
        assert client.submit(silent, client, ["a", "b"]).result(DONE_S) == ["a", "b"]
        assert client.submit(by_its_own, ["c"], stream_output=True).result(DONE_S) == ["c"]
    out, err = terminal.out, terminal.err
    assert sorted(told(out)) == [("leaf-0", "a"), ("leaf-0", "c"), ("leaf-1", "b")]
    assert sorted(told(err)) == [("leaf-0", "a err"), ("leaf-0", "c err"), ("leaf-1", "b err")]
    assert len(out.splitlines()) + len(err.splitlines()) == 6
    assert sorted(echoed(cluster.out)) == [("leaf-0", "a"), ("leaf-0", "c"), ("leaf-1", "b")]


def test_each_level_is_shown_once_and_in_order(place: Place, terminal: Terminal):
    with SchedulerClusterCombo(2) as combo, Client(combo) as client:
        assert client.submit(around, client, 3, name="level4").result(DONE_S) == 3
    down = [(f"level{depth + 1}-0", f"down {depth}") for depth in (3, 2, 1, 0)]
    assert told(terminal.out) == [*down, *[(tag, text.replace("down", "up")) for tag, text in reversed(down)]]
    assert place.processes() == []


@pytest.mark.usefixtures("place")
def test_children_of_tasks_side_by_side_in_one_worker_are_shown_each_with_its_name(terminal: Terminal):
    with SchedulerClusterCombo(1, threads_per_worker=4) as combo, Client(combo) as client:
        futures = [client.submit(around, client, 2, name=f"root{n}") for n in range(4)]
        futures += [client.submit(by_its_own, [f"own{n}"], stream_output=True) for n in range(4)]
        client.gather(futures)
    lines = told(terminal.out)
    assert sorted(line for line in lines if line[0] == "leaf-0") == [("leaf-0", f"own{n}") for n in range(4)]
    expected = [(tag, f"{way} {depth}") for tag, depth in (("level1-0", 0), ("level2-0", 1)) for way in ("down", "up")]
    assert sorted(line for line in lines if line[0].startswith("level")) == sorted(expected * 4)
    roots = [(f"root{n}-0", f"{way} 2") for n in range(4) for way in ("down", "up")]
    assert sorted(line for line in lines if line[0].startswith("root")) == roots
    assert len(lines) == 28


@pytest.mark.usefixtures("place")
def test_nobody_is_shown_what_a_client_around_it_or_its_own_does_not_want(terminal: Terminal):
    with SchedulerClusterCombo(2) as combo, Client(combo) as client:
        with Client(combo, stream_output=False) as quiet:
            assert quiet.submit(silent, quiet, ["x"]).result(DONE_S) == ["x"]
            assert quiet.submit(by_its_own, ["y"], stream_output=True).result(DONE_S) == ["y"]
            assert client.submit(silent, quiet, ["z"]).result(DONE_S) == ["z"]
        assert client.submit(by_its_own, ["w"], stream_output=False).result(DONE_S) == ["w"]
        client.submit(leaf, "at last").result(DONE_S)
    assert told(terminal.out) == [("leaf-0", "at last")]
    assert told(terminal.err) == [("leaf-0", "at last err")]


def test_a_child_that_ends_with_its_parent_has_said_what_it_said(place: Place, terminal: Terminal):
    with SchedulerClusterCombo(2) as combo, Client(combo) as client:
        client.submit(leave_running, client, place.path("spoken")).result(DONE_S)
        assert place.lines("spoken") == ["x"]
        wait_until(lambda: told(terminal.out), "what it said")
    assert told(terminal.out) == [("speak_and_stay-0", "I am here")]


@pytest.mark.usefixtures("place")
def test_what_a_task_catches_of_its_own_output_has_nothing_of_its_children(terminal: Terminal):
    with SchedulerClusterCombo(1) as combo, Client(combo) as client:
        assert client.submit(captured, client).result(DONE_S) == "caught\n"
    assert told(terminal.out) == [("leaf-0", "free")]


def test_what_a_task_has_done_by_another_scheduler_is_shown_as_its_own_output(place: Place, terminal: Terminal):
    _, address = place.scheduler()
    _, other_address = place.scheduler()
    place.cluster(address, 1)
    place.cluster(other_address, 1, "--name", "far")
    with Client(address) as client, Client(other_address) as other:
        assert client.submit(elsewhere, other).result(DONE_S) == "from afar"
        wait_until(lambda: "from afar" in terminal.out, "the line")
    ((tag, text),) = told(terminal.out)
    assert tag == "elsewhere-0"
    assert told(text) == [("leaf-0", "from afar")]
