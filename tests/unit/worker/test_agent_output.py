"""What tasks print is gathered, limited, and told ahead of their results to whoever is to see it."""

import pytest

from scaler.ids import Incarnation, WorkerId
from scaler.protocol import Output, OutputPiece
from scaler.worker.agent_events import Command, LinkDown, LinkUp, Printed, Say
from scaler.worker.source import Source
from tests.unit.worker.examples import (
    EPOCH,
    OWNER,
    batch_id,
    harvested,
    piece,
    ready,
    rests,
    run_span,
    span_result,
)

OTHER = 6
#: whoever has submitted what prints: not always who sees it
CHILD = 8


def printed(
    text: bytes,
    index: int = 0,
    *,
    n: int = 1,
    worker: int = 0,
    viewer: int | None = OWNER,
    is_error: bool = False,
) -> Printed:
    source = Source(batch_id(n, CHILD), index, "f", None if viewer is None else Incarnation(viewer))
    return Printed(WorkerId(worker), source, text, is_error)


def shown(index: int = 0, *, n: int = 1, worker: int = 0, is_error: bool = False) -> OutputPiece:
    return OutputPiece(n, index, "f", f"host (c), worker {worker}", is_error)


def output(*pieces: tuple[OutputPiece, bytes], viewer: int = OWNER, dropped: int = 0) -> Say:
    frames = tuple(text for _, text in pieces)
    return Say(Output(Incarnation(viewer), tuple(piece for piece, _ in pieces), dropped), frames)


def outputs(commands: list[Command]) -> list[Command]:
    return [one for one in commands if isinstance(one, Say) and isinstance(one.message, Output)]


def test_what_is_printed_is_gathered_for_a_moment_and_told_by_client():
    cluster = ready(2)
    assert cluster.tell(printed(b"one\n"), printed(b"two\n"), at=1.0) == []
    assert cluster.tell(printed(b"err\n", is_error=True), printed(b"other\n", viewer=OTHER), at=1.05) == []
    assert cluster.deadline() == pytest.approx(1.1)
    assert cluster.tell(printed(b"three\n", 4, worker=1), at=1.1) == [
        output((shown(), b"one\ntwo\n"), (shown(is_error=True), b"err\n"), (shown(4, worker=1), b"three\n")),
        output((shown(), b"other\n"), viewer=OTHER),
    ]
    assert cluster.deadline() is None


def test_it_goes_ahead_of_the_result_it_came_with():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    commands = cluster.tell(printed(b"done\n"), harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert commands == [output((shown(), b"done\n")), span_result(0, 1)]


def test_what_comes_too_fast_is_left_out_and_counted():
    cluster = ready(output_lines_per_s=2.0)
    assert cluster.tell(printed(b"x\n" * 15), at=100.0) == []
    assert cluster.tell(at=100.1) == [output((shown(), b"x\n" * 10), dropped=5)]
    cluster.tell(printed(b"y\n" * 3), at=101.1)
    assert cluster.tell(at=101.3) == [output((shown(), b"y\ny\n"), dropped=1)]
    cluster.tell(printed(b"z\n"), at=101.3)
    assert cluster.tell(at=101.5) == [output(dropped=1)]


def test_long_lines_cost_more():
    cluster = ready(output_lines_per_s=2.0)
    cluster.tell(printed(b"a\n" + b"x" * 2000 + b"\n" + b"y" * 2000 + b"\nz"), at=100.0)
    assert cluster.tell(at=100.1) == [output((shown(), b"a\n" + b"x" * 2000 + b"\n"), dropped=1)]


def test_more_pieces_than_a_message_has_are_told_in_several():
    cluster = ready()
    cluster.tell(*[printed(b".\n", index) for index in range(300)], at=1.0)
    assert cluster.tell(at=1.1) == [
        output(*[(shown(index), b".\n") for index in range(256)]),
        output(*[(shown(index), b".\n") for index in range(256, 300)]),
    ]


def test_what_nobody_is_to_see_is_not_told_and_costs_nothing():
    cluster = ready(output_lines_per_s=0.2)
    assert cluster.tell(printed(b"a\n" * 100, viewer=None), at=1.0) == []
    assert cluster.deadline() is None
    cluster.tell(printed(b"b\n"), at=5.0)
    assert cluster.tell(at=6.0) == [output((shown(), b"b\n"))]


def test_without_a_link_nothing_is_kept():
    cluster = ready()
    cluster.tell(printed(b"a\n"))
    cluster.tell(LinkDown(), printed(b"b\n"), at=0.01)
    cluster.tell(LinkUp(EPOCH, resumed=True), at=0.02)
    assert outputs(cluster.tell(at=1.0)) == []
    cluster.tell(printed(b"c\n"), printed(b"of a worker that is gone\n", worker=9))
    assert outputs(cluster.tell(at=2.0)) == [output((shown(), b"c\n"))]
