"""All batches of one client: how each is named and opened, and those that stay open for the next `submit`.

One lock, the I/O thread's, guards what is open, so that any number of threads may submit.
"""

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from scaler.client.config import STORE_LIMIT, ClientConfig
from scaler.client.draft import Draft, S
from scaler.client.durable import COUNT_BITS
from scaler.client.futures import ScalerFuture
from scaler.client.heavy import HeavyCalls
from scaler.client.io_thread import IoThread
from scaler.client.mapping import Calls, carried_calls
from scaler.client.news import tell
from scaler.client.objects import ObjectReference, Objects, Uploaded
from scaler.client.options import TaskOptions, batch_options, exception_types, nested_options
from scaler.client.partials import unwrapped
from scaler.client.posting import NeededTask
from scaler.client.signatures import call_shape
from scaler.client.sinks import SubmitSink
from scaler.errors import ClientQuitException, DurableError, UnknownTagError
from scaler.ids import BatchId, FunctionId, Incarnation, TaskId
from scaler.ledger.events import Again, BatchClosed, BatchOpened, FunctionPickled
from scaler.payload.calls import pickle_call
from scaler.payload.custom import Carrier
from scaler.payload.functions import PickledFunction, call_and_forget, function_name, pickle_function
from scaler.payload.inputs import Found, inline
from scaler.payload.nested import Task
from scaler.protocol import BatchOptions
from scaler.protocol.columns import MAX_FRAME_BYTES
from scaler.resources import unknown_tag
from scaler.storage.places import places
from scaler.storage.store import Store

#: So many batches stay open for further `submit`s of their function, as long as their functions take no more than so
#: many bytes together; the one used longest ago is closed, the newest stays.
OPEN_BATCHES = 64
OPEN_BYTES = 64 << 20


class Batches:
    """Opens batches, and appends single calls to them.

    `carrier` makes bytes of functions and arguments in place of ours; `quiet`: nobody wants to see what tasks print;
    `ship_code`: modules of the user's own go along with functions; `parent` is the task that the client is inside of.
    `make_store` makes what large values lie in, once there are some. `durable` names the work they belong to, which
    then owns them and outlives the client: so it is opened before, and nothing is laid in a store of the client's.
    """

    def __init__(
        self,
        io: IoThread,
        incarnation: Incarnation,
        carrier: Carrier | None = None,
        *,
        quiet: bool = False,
        ship_code: bool = False,
        parent: Task | None = None,
        make_store: Callable[[], Store] = lambda: Store(()),
        durable: str = "",
    ) -> None:
        self.io = io
        self._ship_code = ship_code
        self._durable = durable
        self._owner = io.work.incarnation if durable else incarnation
        self._carrier = carrier
        self._quiet = quiet
        self._parent = parent
        #: the number of the batch before the next, and before the first
        self._count = self._first = io.work.first_number() if durable else 0
        #: the batches `submit` appends to, used longest ago first
        self._open: OrderedDict[tuple[FunctionId, BatchOptions], SubmitSink] = OrderedDict()
        self._heavy = HeavyCalls()
        self._objects = Objects(io, incarnation, make_store)
        io.objects = self._objects
        #: what stands for large arguments; a serializer of the user's own makes bytes of all of them
        self.lift = None if carrier is not None or durable else self._objects.lift

    @property
    def are_nested(self) -> bool:
        """Whether they are those of a task."""
        return self._parent is not None

    def require_open(self) -> None:
        """Raise if the client has left, or its scheduler is lost."""
        if self.io.left_because:
            raise ClientQuitException(f"{self.io.left_because}; make a new Client")
        if self.io.is_over:
            raise copy.copy(self.io.error)

    def submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: TaskOptions,
        kind: type[ScalerFuture] = ScalerFuture,
        *,
        is_node: bool = False,
    ) -> ScalerFuture:
        """One call, pickled now; its future is of this kind. A node of a graph is not told of other ways to call."""
        self.require_open()
        call_shape(fn).check(args, kwargs)
        fn, own = unwrapped(fn, self.lift)
        args = (*own, *args)
        with Found() as found:
            if self._carrier is not None:
                args = self._carrier.values(args)
                kwargs = {name: self._carrier.value(value) for name, value in kwargs.items()}
            call = pickle_call(args, kwargs, self.lift)
        function, options = self._prepare(fn, given)
        needed = self.own(found.take())
        future = self._append(function, options, call, needed, kind)
        carries_much = len(function.frames) > 1 or len(call) > MAX_FRAME_BYTES
        if (carries_much and not self._durable) or any(isinstance(one, Uploaded) for one in needed):
            with self.io.lock:
                hint = self._heavy.pickled(function) or self._heavy.submitted(function, call, needed, is_node=is_node)
            if hint is not None:
                tell(hint)
        return future

    def submit_again(self, again: Again, anew: Mapping[TaskId, ScalerFuture]) -> ScalerFuture:
        """A call that failed, as it was, but for those of its inputs that were submitted anew."""
        function = PickledFunction(again.function, again.frames, again.options.name)
        inputs = tuple(anew.get(needed.task, needed) for needed in again.inputs_of_one())
        for needed in inputs:
            if isinstance(needed, ScalerFuture):
                needed.become_input()
        return self._append(function, again.options, b"".join(again.columns[0].data), inputs, ScalerFuture)

    def own(self, needed: tuple[NeededTask, ...]) -> tuple[NeededTask, ...]:
        """The same futures and objects, found among arguments; `ValueError` if one of them is another client's."""
        for one in needed:
            if not self._has(one.task.batch):
                if isinstance(one, Uploaded):
                    text = f"the object {one.name!r} is another client's: pass what its value() returns"
                    raise ValueError(f"{text}, or the value itself")
                raise ValueError(
                    f"{one!r} is another client's, whose scheduler has it: pass its result(), or the value itself"
                )
        return needed

    def _has(self, batch: BatchId) -> bool:
        if batch.owner != self._owner:
            return False
        return batch.n >> COUNT_BITS == self._first >> COUNT_BITS or batch in self.io.work

    def send_object(self, value: Any, name: str | None) -> ObjectReference:  # Any: whatever users send
        """Make an object of a value."""
        self.require_open()
        if self._durable:
            raise DurableError("an object ends with its client, and durable work does not: pass the value itself")
        return self._objects.send(value if self._carrier is None else self._carrier.value(value), name)

    def draft(
        self,
        fn: Callable[..., Any],
        given: TaskOptions,
        sink_of: Callable[[BatchId, str], S],
        *,
        everywhere: bool = False,
    ) -> Draft[S]:
        """A new batch for calls of a function, each for one worker or for all; a sink of its own gets the outcomes.

        What those for all return is dropped.
        """
        self.require_open()
        function, options = self._prepare(fn, given, everywhere=everywhere)
        with self.io.lock:
            batch, hint = self._next(), self._heavy.pickled(function)
        if hint is not None:
            tell(hint)
        sink, outlives = sink_of(batch, options.name), bool(self._durable) and not everywhere
        return Draft(self.io, sink, function, options, self.own, self.lift, outlives=outlives)

    def carried(self, calls: Calls) -> Calls:
        """The calls of a draft as they are to be sent."""
        return calls if self._carrier is None else carried_calls(calls, self._carrier)

    def clear(self) -> None:
        """Drop all that is unfinished."""
        with self.io.lock:
            self.require_open()
            self._open.clear()
            self._objects.clear()
            self.io.clear()
            self._objects.tell_again()

    def _prepare(
        self, fn: Callable[..., Any], given: TaskOptions, *, everywhere: bool = False
    ) -> tuple[PickledFunction, BatchOptions]:
        """A function as it is now, and what is to be known of its tasks."""
        options = batch_options(function_name(fn), given)
        if self._parent is not None:
            options = nested_options(options, self._parent)
            if options.tag is not None:  # which there are is the first that it is told
                self.io.news.told.wait()
        tags = self.io.news.known_tags
        if options.tag is not None and tags is not None and options.tag not in tags:
            raise UnknownTagError(unknown_tag(options.tag, tags))
        if everywhere or self._quiet or self._durable:
            quiet = self._quiet or options.quiet
            options = replace(options, everywhere=everywhere, quiet=quiet, durable=self._durable)
        if self._carrier is not None:
            carried = self._carrier.function(fn)
            fn = carried.run if everywhere else carried
        if everywhere:
            fn = functools.partial(call_and_forget, fn)
        retried = exception_types(given) if given else ()
        return pickle_function(fn, retried, ship_code=self._ship_code), options

    def _append(
        self,
        function: PickledFunction,
        options: BatchOptions,
        call: bytes,
        inputs: tuple[NeededTask, ...],
        kind: type[ScalerFuture],
    ) -> ScalerFuture:
        key = (function.id, options)
        with self.io.lock:
            self.require_open()
            sink = self._open.get(key)
            if sink is not None and self._durable and sink.was_revoked:  # another client has cleared the work
                self._retire(key, sink, sink.size)
                sink = None
            sink = sink or SubmitSink(self._next(), self.io, options.name)
            lo = sink.size
            try:
                if key not in self._open:
                    self._begin(key, sink, function)
                self._open.move_to_end(key)
                index, future = sink.add(kind)
                self.io.post_call(sink.batch, index, call, inputs)
            except BaseException:  # Ctrl-C may come between any two steps
                self._retire(key, sink, lo)
                raise
        if self.io.is_over:  # it may have told the sink so before this future was in it
            sink.abort(self.io.error)
        return future

    def _begin(self, key: tuple[FunctionId, BatchOptions], sink: SubmitSink, function: PickledFunction) -> None:
        sink.function_bytes = sum(map(len, function.frames))
        self._open[key] = sink
        self.io.remember(sink)
        self.io.post(
            FunctionPickled(function.id, function.frames),
            BatchOpened(sink.batch, function.id, key[1]),
        )
        size_bytes = sum(opened.function_bytes for opened in self._open.values())
        while len(self._open) > 1 and (len(self._open) > OPEN_BATCHES or size_bytes > OPEN_BYTES):
            _, oldest = self._open.popitem(last=False)
            size_bytes -= oldest.function_bytes
            self.io.post(BatchClosed(oldest.batch))
            oldest.close()

    def _retire(self, key: tuple[FunctionId, BatchOptions], sink: SubmitSink, lo: int) -> None:
        """Let nobody append to a batch any more that may lack a call, which is given up: it has index `lo`."""
        self._open.pop(key, None)
        self.io.post(BatchClosed(sink.batch))
        sink.withdraw(lo)
        sink.close()

    def _next(self) -> BatchId:
        """The caller holds the lock."""
        self._count += 1
        return BatchId(self._owner, self._count)


def batches_of(
    config: ClientConfig, io: IoThread, incarnation: Incarnation, carrier: Carrier | None, parent: Task | None = None
) -> Batches:
    """The batches of a client with this record."""
    if config.inline_bytes is not None:
        inline.most_bytes = config.inline_bytes
    return Batches(
        io,
        incarnation,
        carrier,
        quiet=not config.stream_output,
        ship_code=config.ship_code,
        parent=parent,
        durable=config.durable,
        make_store=lambda: Store(places(config.store_limit_bytes, config.spill_folder, option=STORE_LIMIT)),
    )
