"""The functions a cluster keeps for its workers, and those it asks for."""

import pytest

from scaler.ids import FunctionId, WorkerId
from scaler.protocol import CancelRun, NeedFunction
from scaler.worker import agent_functions
from scaler.worker.agent_events import Define, Drop, LinkDown, LinkUp, Say, WorkerStarted
from scaler.worker.agent_functions import Functions
from scaler.worker.agent_outbox import Outbox
from scaler.worker.agent_work import Run
from tests.unit.worker.examples import (
    EPOCH,
    F,
    G,
    arguments,
    define,
    defines,
    ended,
    give,
    harvested,
    piece,
    ranges,
    ready,
    rests,
    run_id,
    run_span,
    runs,
    span_result,
)

H = FunctionId(b"h" * 16)


def test_a_function_that_is_not_here_is_asked_for_once_and_its_runs_wait():
    cluster = ready(2)
    assert cluster.hear(run_span(1, 0, 1, function=G), run_span(2, 0, 1, function=G)) == [Say(NeedFunction(G))]
    assert cluster.hear(run_span(3, 0, 1, function=G)) == []
    assert cluster.hear(define(G)) == [
        defines(0, G),
        give(0, 1, 0, 1, function=G),
        defines(1, G),
        give(1, 2, 0, 1, n=2, function=G),
    ]


def test_a_function_that_comes_twice_changes_nothing():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2))
    assert cluster.hear(define(F)) == []
    assert cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),))) == [give(0, 2, 1, 2), span_result(0, 1)]


def test_a_run_given_up_before_its_function_came_is_not_run():
    cluster = ready()
    cluster.hear(run_span(1, 0, 2, function=G), run_span(2, 0, 1, function=G))
    cluster.hear(CancelRun(run_id(1), ranges((0, 2))))
    assert cluster.hear(define(G)) == [defines(0, G), give(0, 1, 0, 1, n=2, function=G)]
    cluster.hear(run_span(3, 0, 1, function=H))
    cluster.hear(CancelRun(run_id(3), ranges((0, 1))))
    assert cluster.hear(run_span(4, 0, 1, function=H)) == [Say(NeedFunction(H))]


def test_on_a_new_link_functions_that_are_missing_are_asked_for_again():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1, function=G))
    cluster.tell(LinkDown())
    assert Say(NeedFunction(G)) in cluster.tell(LinkUp(EPOCH, resumed=False))


def test_a_worker_in_place_of_another_is_told_every_function_anew():
    cluster = ready()
    cluster.hear(run_span(1, 0, 1))
    cluster.tell(harvested(0, piece(1, 0, 1), slots=(rests(1, 1),)))
    cluster.tell(ended(0), at=5.0)
    cluster.tell(WorkerStarted(1, 101))
    assert cluster.hear(run_span(2, 0, 1)) == [defines(1), give(1, 2, 0, 1, n=2)]


def many(number: int) -> FunctionId:
    return FunctionId(number.to_bytes(16, "big"))


def test_a_worker_forgets_the_function_it_used_longest_ago(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_functions, "KEPT_AT_WORKER", 2)
    cluster = ready()
    for ticket, function in enumerate((F, G, F), 1):
        cluster.hear(define(function), run_span(ticket, 0, 1, function=function))
        cluster.tell(harvested(0, piece(ticket, 0, 1), slots=(rests(ticket, 1),)))
    assert cluster.hear(define(H), run_span(4, 0, 1, function=H)) == [
        defines(0, H),
        Drop(WorkerId(0), G),
        give(0, 4, 0, 1, n=4, function=H),
    ]


def test_a_worker_forgets_functions_until_the_others_are_small_enough(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_functions, "KEPT_AT_WORKER_BYTES", 10)
    cluster = ready()
    for ticket, (function, content) in enumerate(((G, b"1234"), (H, b"123"), (many(1), b"12")), 1):
        cluster.hear(define(function, content), run_span(ticket, 0, 1, function=function))
        cluster.tell(harvested(0, piece(ticket, 0, 1), slots=(rests(ticket, 1),)))
    assert cluster.hear(define(many(2), b"12345678"), run_span(4, 0, 1, function=many(2))) == [
        Define(WorkerId(0), many(2), (b"12345678",)),
        Drop(WorkerId(0), G),
        Drop(WorkerId(0), H),
        give(0, 4, 0, 1, n=4, function=many(2)),
    ]


def test_a_worker_forgets_no_function_that_a_ticket_of_it_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agent_functions, "KEPT_AT_WORKER", 1)
    cluster = ready(1, threads=2)
    cluster.hear(define(G), define(H))
    assert cluster.hear(run_span(1, 0, 1), run_span(2, 0, 1, function=G)) == [
        defines(0),
        give(0, 1, 0, 1),
        defines(0, G),
        give(0, 2, 0, 1, n=2, function=G),
    ]
    cluster.tell(harvested(0, piece(2, 0, 1), slots=(runs(1, 0, 0.0), rests(2, 1))))
    assert cluster.hear(run_span(3, 0, 1, function=H)) == [
        defines(0, H),
        Drop(WorkerId(0), G),
        give(0, 3, 0, 1, n=3, function=H),
    ]


# ---- what the cluster itself keeps


def kept(room_bytes: int) -> tuple[Functions, Outbox]:
    outbox = Outbox()
    return Functions(outbox, room_bytes), outbox


def a_run(n: int, function: FunctionId) -> Run:
    received = run_span(n, 0, 1, function=function)
    return Run(received.message, arguments(0, 1), None)


def test_functions_nobody_uses_are_forgotten_when_there_is_no_room():
    functions, outbox = kept(10)
    assert functions.defined(F, (b"12345",)) == []
    assert functions.defined(G, (b"12345",)) == []
    assert functions.defined(H, (b"12345",)) == []
    functions.check({})
    for function in (G, H, F):
        functions.use(a_run(1, function))
    assert outbox.take() == [Say(NeedFunction(F))]


def test_functions_in_use_and_the_newest_are_kept_beyond_the_room():
    functions, outbox = kept(4)
    run = a_run(1, F)
    functions.use(run)
    assert functions.defined(F, (b"12345",)) == [run]
    assert functions.defined(G, (b"123", b"45")) == []
    functions.check({F: 1})
    functions.use(a_run(2, G))
    functions.defined(H, (b"1",))
    functions.check({F: 1, G: 1})
    functions.release(run)
    functions.defined(H, (b"1",))
    functions.defined(many(1), (b"1",))
    functions.check({G: 1})
    functions.use(a_run(3, F))
    assert outbox.take() == [Say(NeedFunction(F)), Say(NeedFunction(F))]


def test_a_function_that_a_worker_needs_is_used_last_of_all():
    functions, outbox = kept(10)
    cluster = ready()
    worker = next(iter(cluster.agent._pool.workers.values()))
    functions.defined(F, (b"12345",))
    functions.defined(G, (b"12345",))
    functions.provide(worker, F)
    functions.defined(H, (b"12345",))
    functions.use(a_run(1, F))
    functions.use(a_run(2, G))
    assert [type(command).__name__ for command in outbox.take()] == ["Define", "Say"]
