"""Every invariant that spans several parts of the core, looked at the slow way; for tests."""

import math
from collections import Counter

from scaler.core.batches import Batch
from scaler.core.lifecycle import CLOSED, LIVE, State
from scaler.core.managers import Managers
from scaler.core.runs import Run
from scaler.core.spans import Span, Wait
from scaler.ids import Incarnation, RunId


def check_all(managers: Managers) -> None:
    """Raise unless spans, queue, runs, loads, chunks, functions and clients tell one story."""
    _check_batches(managers)
    _check_runs(managers)
    _check_queue(managers)
    _check_holdings(managers)
    managers.workers.check()
    managers.functions.check()
    managers.tasks.inputs.check(managers.tasks.by_serial)
    managers.objects.check()
    for client in managers.clients.clients.values():
        assert set(client.batches) == {name for name in managers.tasks.batches if name.owner == client.peer}


def _spans(managers: Managers) -> list[tuple[Batch, Span]]:
    return [(batch, span) for batch in managers.tasks.by_serial.values() for span in batch.spans.all()]


def _check_batches(managers: Managers) -> None:
    tasks = managers.tasks
    counted = Counter[State]()
    for batch in tasks.by_serial.values():
        assert not batch.is_over, batch.id
        assert batch.is_orphan or tasks.batches[batch.id] is batch
        _check_spans(batch)
        for span in batch.spans.all():
            counted[span.state] += span.hi - span.lo
    assert {state: count for state, count in tasks.tasks_in.items() if count} == dict(counted)
    assert all(not batch.is_orphan for batch in tasks.batches.values())


def _check_holdings(managers: Managers) -> None:
    batches = managers.tasks.by_serial.values()
    assert managers.tasks.holdings.keys() == {batch.root for batch in batches}
    for root, holding in managers.tasks.holdings.items():
        own = [batch for batch in batches if batch.root == root]
        assert all(batch.holding is holding for batch in own), root
        assert holding.batches == len(own), root
        assert holding.functions == Counter(batch.function for batch in own), root
        assert holding.argument_bytes == sum(batch.store.held_bytes() for batch in own), root
        needed = {one.task: one for batch in own for needs in batch.needs.values() for one in needs.inputs}
        known = [
            one.outcome.size_bytes for one in needed.values() if one.holding is holding and one.outcome is not None
        ]
        assert holding.input_bytes == sum(known), root


def _check_spans(batch: Batch) -> None:
    end, present, before = 0, 0, None
    for span in batch.spans.all():
        assert end <= span.lo < span.hi <= batch.appended, (batch.id, span)
        assert before is None or before.hi < span.lo or not before.continues(span), (batch.id, before, span)
        assert (span.wait is Wait.NOTHING) == (span.state is not State.WAITING), (batch.id, span)
        assert (span.run is not None) >= (span.state in LIVE or span.state in (State.KEPT, State.STORED)), (
            batch.id,
            span,
        )
        assert not (batch.is_orphan and span.state not in LIVE), (batch.id, span)
        end, present, before = span.hi, present + span.hi - span.lo, span
    assert present == batch.appended - batch.gone, batch.id
    for lo, hi, count in batch.store.live():
        unended = sum(span.hi - span.lo for span in batch.spans.within(lo, hi) if span.state not in CLOSED)
        assert count == unended, (batch.id, lo, hi, count, unended)


def _check_runs(managers: Managers) -> None:
    held, unfinished = Counter[RunId](), Counter[RunId]()
    runs: dict[RunId, Run] = {}
    for _, span in _spans(managers):
        if span.run is not None:
            runs[span.run.id] = span.run
            held[span.run.id] += span.hi - span.lo
            unfinished[span.run.id] += (span.hi - span.lo) * (span.state in LIVE)
    known = managers.tasks.runs
    assert set(runs) | {name for name, run in known.items() if run.claims} == set(known)
    for name, run in known.items():
        assert (run.held, run.unfinished) == (held[name], unfinished[name]), name
        assert bool(run.claims) == (run in managers.tasks.batch_of(run).rivals), name
        cluster = managers.workers.clusters.get(run.peer)
        assert cluster is not None, name
        assert cluster.load is run.load, name
        assert run.load.runs[name] is run, name
        assert (name in run.load.live) == (run.unfinished > 0), name
    kept = Counter[Incarnation]()
    for run in known.values():
        assert run.result_bytes == 0 or run.held > run.unfinished, run.id
        kept[managers.tasks.batch_of(run).owner] += run.result_bytes
    assert managers.tasks.result_bytes == +kept
    for cluster in managers.workers.clusters.values():
        load = cluster.load
        assert load.unfinished == sum(run.unfinished for run in load.live.values()) == sum(load.by_times.values())
        assert load.size_bytes == sum(run.size_bytes for run in load.runs.values())


def _check_queue(managers: Managers) -> None:
    queued: dict[int, list[tuple[int, int]]] = {}
    for batch, span in _spans(managers):
        if span.state is State.QUEUED:
            queued.setdefault(id(batch.lane_of(span.counts)), []).append((span.lo, span.hi))
    for batch in managers.tasks.by_serial.values():
        for lane in batch.lanes():
            spans = queued.get(id(lane), [])
            assert lane.starts() == [lo for lo, _ in spans], batch.id
            assert lane.tasks == sum(hi - lo for lo, hi in spans), batch.id
            assert lane.in_heap or not lane.tasks, batch.id
    queue = managers.tasks.queue
    assert queue.tasks == managers.tasks.tasks_in[State.QUEUED]
    queue.check()
    for key, known in queue.aside.items():
        assert known.tasks, key
        # allocations run out: what one offers that has no end counts
        assert not managers.workers.is_offered(key, math.inf), key
