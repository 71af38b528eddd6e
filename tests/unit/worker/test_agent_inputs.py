"""Runs whose calls need the values of other tasks: every ticket has those of its own calls, whoever is given it."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from scaler.errors import ProtocolError
from scaler.ids import WorkerId
from scaler.protocol import Drain, Retract, RunSpan
from scaler.protocol.columns import Frame
from scaler.protocol.inputs import input_frames
from scaler.worker.agent_events import Give, Received, TookBack
from scaler.worker.agent_giving import TICKET_BYTES
from tests.unit.worker.examples import (
    F,
    batch_id,
    calls,
    defines,
    ended,
    give,
    harvested,
    offsets,
    piece,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    seasoned,
    span_result,
)

ZERO, ONE = b"zero", b"one"
NEEDS = [[0, 1], [], [1]]


def span_with(needs: Sequence[Sequence[int]], *values: Frame, n: int = 1, lo: int = 0) -> Received:
    """A run whose calls need these of the values."""
    hi = lo + len(needs)
    behind = input_frames(needs, [(value,) for value in values])
    message = RunSpan(run_id(n), batch_id(n), lo, hi, F, run_span(n, lo, hi).message.options, len(behind))
    return Received(message, (offsets(4 * lo, [4] * (hi - lo)), calls(lo, hi), *behind))


def give_with(worker: int, ticket: int, lo: int, needs: Sequence[Sequence[int]], *values: Frame, n: int = 1) -> Give:
    behind = input_frames(needs, [(value,) for value in values])
    return replace(give(worker, ticket, lo, lo + len(needs), n=n), inputs=behind)


def test_each_ticket_has_the_inputs_of_its_calls_alone():
    assert ready(3).hear(span_with(NEEDS, ZERO, ONE)) == [
        defines(0),
        give_with(0, 1, 0, [[0, 1]], ZERO, ONE),
        defines(1),
        give(1, 2, 1, 2),
        defines(2),
        give_with(2, 3, 2, [[0]], ONE),
    ]


def test_a_ticket_of_several_calls_has_each_value_once():
    cluster = seasoned(run_us=1)
    assert cluster.hear(span_with(NEEDS, ZERO, ONE)) == [give_with(0, 17, 0, NEEDS, ZERO, ONE)]


def test_inputs_count_among_the_bytes_of_a_ticket():
    cluster = seasoned(run_us=1)
    half = b"h" * (TICKET_BYTES // 2 - 100)
    given = cluster.hear(span_with([[0], [0], [1], [0, 1, 2]], half, ONE * 100, half))
    assert [(command.column.lo, command.column.hi) for command in given if isinstance(command, Give)] == [
        (0, 3),
        (3, 4),
    ]


def test_what_was_not_read_is_given_again_with_its_inputs():
    cluster = seasoned(2)
    assert cluster.hear(span_with([[0], [1]], ZERO, ONE))[:2] == [
        give_with(0, 17, 0, [[0]], ZERO),
        give_with(1, 18, 1, [[0]], ONE),
    ]
    cluster.tell(ended(1, unread=(18,)))
    commands = cluster.tell(harvested(0, piece(17, 0, 1), slots=(rests(17, 1),)))
    assert commands[0] == give_with(0, 19, 1, [[0]], ONE)


def test_a_suspect_is_tried_with_its_inputs():
    cluster = ready(2, threads=2)
    cluster.hear(span_with([[0], [1]], ZERO, ONE))
    cluster.tell(harvested(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))))
    commands = cluster.tell(ended(0, slots=(runs(1, 0, 0.0), runs(2, 1, 0.0))))
    assert give_with(1, 3, 0, [[0]], ZERO) in commands


def test_what_is_retracted_comes_back_and_the_rest_keeps_its_inputs():
    cluster = ready()
    cluster.hear(span_with([[0], [1], [0]], ZERO, ONE))
    cluster.hear(Retract(run_id(1), 1, 2))
    cluster.tell(TookBack(WorkerId(0), ()))
    commands = cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert commands == [give_with(0, 2, 2, [[0]], ZERO), span_result(0, 1)]


def test_inputs_go_when_every_call_has_ended():
    cluster = ready()
    cluster.hear(span_with([[0]], ZERO))
    run = cluster.agent._runs.by_id[run_id(1)]
    assert run.inputs is not None
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    assert run.inputs is None
    assert run_id(1) in cluster.agent._runs.by_id


def test_a_run_that_comes_too_late_is_returned_unopened():
    cluster = ready()
    cluster.hear(Drain(0.0))
    assert not any(isinstance(command, Give) for command in cluster.hear(span_with([[0]], ZERO)))
    assert run_id(1) not in cluster.agent._runs.by_id


@pytest.mark.parametrize(
    "frames",
    [
        (offsets(0, [4]), calls(0, 1)),
        (offsets(0, [4]), calls(0, 1), b"nonsense"),
        (offsets(0, [4]), calls(0, 1), input_frames([[0], [0]], [(ZERO,)])[0]),
        (input_frames([[0]], [(ZERO,)])[0],),
        (),
    ],
    ids=["none", "nonsense", "for more calls", "no calls", "nothing at all"],
)
def test_a_scheduler_that_sends_what_are_no_inputs_breaks_the_protocol(frames: tuple[Frame, ...]):
    message = span_with([[0]], ZERO).message
    with pytest.raises(ProtocolError):
        ready().hear(Received(message, frames))
