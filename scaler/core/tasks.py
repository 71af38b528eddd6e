"""The task manager: every batch, span and run, and the one function that moves a task from state to state.

It knows clusters as loads and clients as names; queue, runs, loads and counters are indexes over the spans and follow
every move in `advance`.
"""

from collections.abc import Iterable

from scaler.core.batches import Batch
from scaler.core.holdings import Holding
from scaler.core.inputs import InputManager
from scaler.core.lifecycle import AT_REST, CLOSED, ENDED, LIVE, OVER, State, Trigger, target
from scaler.core.queue import Queue
from scaler.core.runs import Load, Run
from scaler.core.runtimes import RunTimeTable
from scaler.core.spans import Counts, Span, Wait
from scaler.ids import BatchId, Epoch, FunctionId, Incarnation, RunId
from scaler.protocol import BatchOptions
from scaler.protocol.columns import ArgumentColumn

#: (batch owner, batch n, lo, hi, from, to, cluster)
SpanEvent = tuple[int, int, int, int, str, str, int]

_GONE = "gone"


class TaskManager:
    """All tasks of all clients, as spans of batches."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._serial = 0
        self._runs_named = 0
        self.run_times = RunTimeTable()
        self.batches: dict[BatchId, Batch] = {}
        #: every batch, also those of lost clients that have something at a cluster, whose id may be in use anew
        self.by_serial: dict[int, Batch] = {}
        #: all and only runs with a task in a span, or a claim
        self.runs: dict[RunId, Run] = {}
        self.queue = Queue()
        self.inputs = InputManager()
        #: what is here of each client that has a batch
        self.holdings: dict[Incarnation, Holding] = {}
        #: about what clusters keep of outcomes that the client has not taken, by client
        self.result_bytes: dict[Incarnation, int] = {}
        #: tasks in each state
        self.tasks_in: dict[State, int] = dict.fromkeys(State, 0)
        #: tasks moved by each (from, trigger), since the start
        self.moved: dict[tuple[State, Trigger], int] = {}
        #: span events of this turn, or None while nobody watches
        self.watched: list[SpanEvent] | None = None

    # ---- batches

    def open(self, batch: BatchId, function: FunctionId, options: BatchOptions) -> Batch:
        """A new batch, without calls."""
        self._serial += 1
        times = self.run_times.of(function, options.tag)
        root = options.root or batch.owner
        holding = self.holdings.get(root)
        if holding is None:
            holding = self.holdings[root] = Holding()
        holding.batches += 1
        holding.functions[function] += 1
        record = Batch(batch, self._serial, function, options, times, holding)
        self.batches[batch] = self.by_serial[self._serial] = record
        return record

    def append(self, batch: Batch, column: ArgumentColumn) -> None:
        """The next calls of a batch, queued."""
        batch.store.add(column)
        batch.gone += column.lo - batch.appended
        batch.appended = column.hi
        self._add(batch, Span(column.lo, column.hi, State.QUEUED))

    def hold(self, batch: Batch, ranges: Iterable[tuple[int, int]], known: int) -> None:
        """What the client of a resumed batch waits for, HELD until it is claimed or released; others are gone."""
        held = 0
        for lo, hi in ranges:
            self._add(batch, Span(lo, hi, State.HELD))
            held += hi - lo
        batch.appended = known
        batch.gone = known - held

    def _add(self, batch: Batch, span: Span) -> None:
        taken, put = batch.spans.add(span)
        self._requeue(batch, taken, put)
        self.tasks_in[span.state] += span.hi - span.lo
        if self.watched is not None:
            self.watched.append((batch.id.owner, batch.id.n, span.lo, span.hi, "", span.state.value, 0))

    def orphan(self, batch: Batch) -> None:
        """Its client is lost: the batch goes on under its serial, and its id may be used anew."""
        del self.batches[batch.id]
        batch.is_orphan = True

    def batch_of(self, run: Run) -> Batch:
        """The batch a run is of."""
        return self.by_serial[run.serial]

    def forget(self, batch: Batch) -> None:
        """Drop the record of a batch that is over."""
        holding = batch.holding
        holding.batches -= 1
        holding.functions[batch.function] -= 1
        if not holding.functions[batch.function]:
            del holding.functions[batch.function]
        if not holding.batches:
            del self.holdings[batch.root]
        del self.by_serial[batch.serial]
        if not batch.is_orphan:
            del self.batches[batch.id]

    # ---- runs

    def new_run(self, batch: Batch, lo: int, hi: int, load: Load, size_bytes: int) -> Run:
        """The next sending of this epoch; `advance` with PLACE puts tasks into it."""
        return self.known_run(self.name_run(), batch, lo, hi, load, size_bytes)

    def name_run(self) -> RunId:
        """The name of the next sending."""
        self._runs_named += 1
        return RunId(self._epoch, self._runs_named)

    def known_run(self, name: RunId, batch: Batch, lo: int, hi: int, load: Load, size_bytes: int = 0) -> Run:
        """A sending that has a name already: an earlier epoch's, or one that comes back."""
        run = self.runs[name] = Run(name, batch.serial, lo, hi, load)
        run.size_bytes = size_bytes
        load.size_bytes += size_bytes
        load.runs[name] = run
        return run

    def may_have_named(self, name: RunId) -> bool:
        """Whether a sending has been given that name: by this scheduler, or by one before it."""
        return name.epoch != self._epoch or 0 < name.n <= self._runs_named

    def settle_run(self, run: Run) -> None:
        """Drop the record of a run that has nothing left."""
        if not run.held and not run.claims:
            if self.runs.get(run.id) is run:
                del self.runs[run.id]
            run.load.runs.pop(run.id, None)

    def keeps_results(self, batch: Batch, run: Run, size_bytes: int) -> None:
        """Tasks of a run have ended with so many bytes, which its cluster keeps until they are taken."""
        if not batch.is_orphan:
            run.result_bytes += size_bytes
            self.result_bytes[batch.owner] = self.result_bytes.get(batch.owner, 0) + size_bytes

    def _let_go_of_results(self, batch: Batch, run: Run, count: int) -> None:
        """A cluster need not keep the outcomes of so many tasks of a run: a part of what all of them take."""
        if run.result_bytes:
            size_bytes = run.result_bytes * count // (run.held - run.unfinished - run.stored)
            run.result_bytes -= size_bytes
            left = self.result_bytes[batch.owner] - size_bytes
            if left:
                self.result_bytes[batch.owner] = left
            else:
                del self.result_bytes[batch.owner]

    # ---- moves

    def advance(
        self,
        batch: Batch,
        lo: int,
        hi: int,
        trigger: Trigger,
        *,
        to: State | None = None,
        run: Run | None = None,
        counts: Counts | None = None,
        wait: Wait = Wait.NOTHING,
    ) -> None:
        """Move [lo, hi), which lies in one span, along the table; every index follows here.

        `to` chooses where the table leaves a choice; `run` is the run the tasks are of afterwards, by default the same
        while a cluster has them or their result; `counts` replaces what was charged to them.
        """
        old = batch.spans.at(lo)
        if old is None or hi > old.hi:
            raise IndexError(f"[{lo}, {hi}) of batch {batch.id} is in no one span")
        before = old.state
        after = target(before, trigger, to)
        if run is None and after not in AT_REST:
            run = old.run
        count = hi - lo
        new = Span(lo, hi, after, run, old.counts if counts is None else counts, wait)
        taken, put = batch.spans.move(old, new)
        self._requeue(batch, taken, put)
        if before is State.STORED and old.run is not None:
            old.run.stored -= count
        self._rebook(batch, old, new, count)
        if after is State.STORED and run is not None:
            run.stored += count
        self.tasks_in[before] -= count
        self.tasks_in[after] += count
        self.moved[before, trigger] = self.moved.get((before, trigger), 0) + count
        if after in CLOSED and before not in CLOSED:
            batch.store.release(lo, hi)
        elif before in CLOSED and after not in CLOSED:
            batch.store.retain(lo, hi)
        if batch.needs and after in OVER:
            self.inputs.release(batch, lo, hi)
        if self.watched is not None:
            peer = run.peer if run is not None else old.run.peer if old.run is not None else 0
            self.watched.append((batch.id.owner, batch.id.n, lo, hi, before.value, after.value, peer))

    def drop(self, batch: Batch, lo: int, hi: int) -> None:
        """The ledger has [lo, hi), which lies in one span of an ended state: the tasks are gone."""
        old = batch.spans.at(lo)
        if old is None or hi > old.hi or old.state not in ENDED:
            raise IndexError(f"[{lo}, {hi}) of batch {batch.id} has not ended")
        batch.spans.drop(old, lo, hi)
        batch.gone += hi - lo
        self.tasks_in[old.state] -= hi - lo
        if old.run is not None:
            self._let_go_of_results(batch, old.run, hi - lo)
            old.run.held -= hi - lo
            self.settle_run(old.run)
        if self.watched is not None:
            self.watched.append((batch.id.owner, batch.id.n, lo, hi, old.state.value, _GONE, 0))

    def part_with_run(self, batch: Batch, lo: int, hi: int) -> None:
        """The cluster that finished [lo, hi), which lies in one span of an ended state, is lost: nobody to tell."""
        old = batch.spans.at(lo)
        if old is None or hi > old.hi or old.state not in ENDED or old.run is None:
            raise IndexError(f"[{lo}, {hi}) of batch {batch.id} has no run to part with")
        self._let_go_of_results(batch, old.run, hi - lo)
        old.run.held -= hi - lo
        batch.spans.move(old, Span(lo, hi, old.state, None, old.counts))
        self.settle_run(old.run)

    def _requeue(self, batch: Batch, taken: list[Span], put: list[Span]) -> None:
        for span in taken:
            if span.state is State.QUEUED:
                self.queue.take(batch.lane_of(span.counts), span.lo, span.hi - span.lo)
        for span in put:
            if span.state is State.QUEUED:
                self.queue.put(batch.lane_of(span.counts), span.lo, span.hi - span.lo)

    def _rebook(self, batch: Batch, old: Span, new: Span, count: int) -> None:
        was_live, is_live = old.state in LIVE, new.state in LIVE
        before, after = old.run, new.run
        if before is after and was_live is is_live:
            return
        if before is not None and was_live:
            size_bytes = before.size_bytes * count // before.unfinished
            before.unfinished -= count
            before.size_bytes -= size_bytes
            before.load.change(-count, batch.times, -size_bytes, batch.options.resources)
            if not before.unfinished:
                del before.load.live[before.id]
        if after is not None and is_live:
            if not after.unfinished:
                after.load.live[after.id] = after
            after.unfinished += count
            after.load.change(count, batch.times, 0, batch.options.resources)
        if before is not after:
            if after is not None:
                after.held += count
            if before is not None:
                if not was_live and old.state is not State.STORED:
                    self._let_go_of_results(batch, before, count)
                before.held -= count
                self.settle_run(before)
