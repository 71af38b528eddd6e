"""The client: what users hold. It pickles calls, names them, and hands them to its I/O thread.

Whatever arrives is settled by that thread; values are unpickled in the thread that asks. One lock guards the open
batches, so that any number of threads may submit.
"""

import atexit
import copy
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from types import TracebackType
from typing import Any, Self, Unpack

from msgspec.structs import replace

from scaler.client import dask_graphs, waiting
from scaler.client.config import ClientConfig, client_config
from scaler.client.everywhere import MOST_URGENT, run_on_workers
from scaler.client.face import Face
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import submit_graph
from scaler.client.io_thread import IoThread, living
from scaler.client.mapping import Calls, calls_of, starred_calls_of
from scaler.client.options import (
    Capabilities,
    Defaults,
    TaskOptions,
    batch_options,
    exception_types,
    given_of,
    refuse_ambiguous,
    with_capabilities,
)
from scaler.client.posting import PostedColumn
from scaler.client.signatures import call_shape
from scaler.client.sinks import MapSink, Sink, SubmitSink
from scaler.client.waits import require_may_wait
from scaler.client.way import way_to_scheduler
from scaler.errors import ClientQuitException, SchedulerError, UnknownTagError
from scaler.ids import BatchId, Incarnation, Range
from scaler.ledger.events import (
    BatchClosed,
    BatchOpened,
    FunctionPickled,
    ShutdownAsked,
    TasksAppended,
    Unwanted,
)
from scaler.payload import nested
from scaler.payload.calls import columns, pickle_call
from scaler.payload.functions import PickledFunction, function_name, pickle_function
from scaler.payload.inputs import Found
from scaler.protocol import BatchOptions, ShutdownAnswer
from scaler.resources import unknown_tag

#: So many batches stay open for further `submit`s of their function; the one used longest ago is closed.
OPEN_BATCHES = 64

_DISCONNECTED = "the client has been disconnected"
#: what a client inside a worker has in each task that uses it, and finds there
_OF_ITS_TASK = {"_incarnation": "incarnation", "_numbers": "numbers", "_open": "open", "_io": "io"}


class Client:
    """A line to one scheduler: `map`, `starmap` and `submit` run functions on workers, wherever they are.

    `address` is the scheduler's (`tcp://host:port`, `ipc://name`, `host:port`, or anything with `get_address()`);
    without it `SCALER_ADDRESS` counts. `timeout_seconds` is how long a scheduler may be out of reach, at the start and
    later, before `DisconnectedError`. `key_file` names the key to show; without it the user's own is found. `insecure`
    is for a scheduler that was started with `--insecure`: no key, no encryption, and off this machine only with
    `insecure_off_loopback`; neither can be set by the environment. The constructor returns once the scheduler has
    answered. Threads may share a client; a forked child may not use it.
    A client that nobody holds any more leaves when its tasks are done.

    Inside a task, `Client()` and any client that was sent there or made for the same scheduler submit through the
    task's own worker: no address, key or connection is needed. What a task has submitted is cancelled when it ends.
    """

    #: dask asks it of whatever it is given for a scheduler; our calls block, their futures can be awaited
    asynchronous = False

    def __init__(
        self,
        address: Any = None,
        profiling: bool = False,  # noqa: FBT001, FBT002  # positional in the API users bring along
        timeout_seconds: float = 60,
        heartbeat_interval_seconds: float = 2,
        *,
        name: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        insecure_off_loopback: bool = False,
    ) -> None:
        self._profiling = profiling
        self._config = client_config(
            nested.address() if address is None else address,
            name=name,
            timeout_s=timeout_seconds,
            heartbeat_interval_s=heartbeat_interval_seconds,
            key_file=key_file,
            insecure=insecure,
            insecure_off_loopback=insecure_off_loopback,
        )
        self._face: Face[SubmitSink] | None = None
        if nested.is_home(self._config.address, 0):
            self._face = Face(self._config)
            return
        self._incarnation = Incarnation(int.from_bytes(os.urandom(8)) or 1)
        self._numbers = count(1)
        #: the batches `submit` appends to, used longest ago first
        self._open: OrderedDict[tuple[bytes, BatchOptions], SubmitSink] = OrderedDict()
        self._io = IoThread(self._config, way_to_scheduler(self._config, self._incarnation))
        weakref.finalize(self, self._io.abandon).atexit = False  # by then `_leave_all` has seen to it
        try:
            self._io.connect()
        except BaseException:
            self.disconnect()
            raise

    def __getattr__(self, name: str) -> Any:  # Any: whatever that attribute is
        if name in _OF_ITS_TASK and (face := self.__dict__.get("_face")) is not None:
            return getattr(face.side(), _OF_ITS_TASK[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- work

    def submit(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        tag: str | None = Defaults.tag,
        resources: Mapping[str, float] | None = Defaults.resources,
        priority: int = Defaults.priority,
        retries: int = Defaults.retries,
        retry_on: type[BaseException] | Iterable[type[BaseException]] = Defaults.retry_on,
        retry_delay_s: float = Defaults.retry_delay_s,
        timeout: float | None = Defaults.timeout,
        name: str | None = Defaults.name,
        **kwargs: Any,
    ) -> ScalerFuture:
        """Run `fn(*args, **kwargs)` on a worker and return the future of its result.

        The arguments are pickled now, so changing them afterwards changes nothing. A call that does not fit the
        signature is a `TypeError` here, an argument that cannot be pickled a `SerializationError`.

        `tag`: only workers with it take the task; `UnknownTagError` lists those there are. `resources`: amounts it
        holds while it runs, such as `{"gpu": 1}`. `priority`: larger is sooner. `retries`: how often it runs again
        after its worker died, and, counted apart, after it raised one of `retry_on`; the latter not before
        `retry_delay_s` seconds, doubled each time up to 60. `timeout`: seconds one attempt may take from its begin,
        then `TaskTimeoutError`. `name`: what to call it in messages, instead of the function's name.
        A function with a parameter called like one of these is served by `submit_verbose`.
        """
        given = given_of(tag, resources, priority, retries, retry_on, retry_delay_s, timeout, name)
        if given:
            refuse_ambiguous(function_name(fn), call_shape(fn).names, given)
        return self._submit(fn, args, kwargs, given)

    def submit_verbose(
        self,
        fn: Callable[..., Any],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002, FBT001, FBT002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> ScalerFuture:
        """As `submit`, with what goes to the function apart from what is an option of its task.

        Of Scaler's `capabilities` an amount is one of `resources`; one that is -1 or None is the `tag`.
        """
        return self._submit(fn, tuple(args), dict(kwargs or {}), with_capabilities(options, capabilities))

    def _submit(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], given: TaskOptions
    ) -> ScalerFuture:
        self._require_open()
        call_shape(fn).check(args, kwargs)
        call, futures = self._pickle(args, kwargs)
        return self._append(*self._prepare(fn, given), call, futures)

    def _append(
        self, function: PickledFunction, options: BatchOptions, call: bytes, futures: tuple[ScalerFuture, ...] = ()
    ) -> ScalerFuture:
        with self._io.lock:
            self._require_open()
            sink = self._open_sink(function, options)
            index, future = sink.add()
            self._io.post_call(sink.batch, index, call, futures)
        if self._io.is_over:  # it may have told the sink so before this future was in it
            sink.abort(self._io.error)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        return_exceptions: bool = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """Run `fn` on every element, each a task of its own, and return the results in order.

        With one iterable an element that is exactly a `tuple` is the argument list, any other the single argument;
        several iterables are zipped. When elements fail, the first one's exception is raised once all are done, with
        every outcome on its `results`; with `return_exceptions` the exceptions stand in the list instead. The options
        are those of `submit`, for each element.
        """
        given = with_capabilities(options, capabilities)
        return self._run(fn, calls_of(call_shape(fn), iterables), given, return_exceptions=return_exceptions)

    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        *,
        return_exceptions: bool = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """As `map`, where each element is an argument list."""
        calls = starred_calls_of(call_shape(fn), iterable)
        return self._run(fn, calls, with_capabilities(options, capabilities), return_exceptions=return_exceptions)

    def get(self, graph: Any, keys: Any, block: bool = True) -> Any:  # noqa: FBT001, FBT002  # positional in the API users bring along
        """The values of the keys of a graph, as a dict in the order of the keys; with `block` False, their futures.

        A graph maps keys to data or to `(callable, argument, …)`, where an argument that is a key stands for its value
        and any other for itself. Only what the keys need is run. A cycle or an unknown key is a `GraphError` before
        anything runs. For a graph of dask's, keys may be in lists, and the values are returned in the same lists.
        """
        if dask_graphs.is_dask(graph, keys):
            futures = dask_graphs.submit_keys(self._submit_positional, graph, keys)
            return dask_graphs.results(futures) if block else futures
        found = submit_graph(self._submit_positional, graph, keys)
        if not block:
            return {
                key: value if isinstance(value, ScalerFuture) else self.submit(_itself, value)
                for key, value in found.items()
            }
        return {key: value.result() if isinstance(value, ScalerFuture) else value for key, value in found.items()}

    def compute(self, *collections: Any, optimize_graph: bool = True) -> ScalerFuture | list[ScalerFuture]:
        """Compute dask collections; the future of the result of one, or a list of them for several."""
        futures = dask_graphs.submit_collections(self._submit_positional, collections, optimize_graph=optimize_graph)
        return futures[0] if len(futures) == 1 else futures

    def _submit_positional(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> ScalerFuture:
        return self.submit(fn, *args)

    def gather(self, futures: Iterable[ScalerFuture], *, return_exceptions: bool = False) -> list[Any]:
        """The results of the futures in their order; see `scaler.gather`."""
        return waiting.gather(futures, return_exceptions=return_exceptions)

    def as_completed(self, futures: Iterable[ScalerFuture], timeout: float | None = None) -> Iterator[ScalerFuture]:
        """The futures as they finish; see `scaler.as_completed`."""
        return waiting.as_completed(futures, timeout)

    def wait(
        self,
        futures: Iterable[ScalerFuture],
        timeout: float | None = None,
        return_when: str = "ALL_COMPLETED",
    ) -> Any:
        """`(done, not_done)` as `concurrent.futures.wait` gives them; see `scaler.wait`."""
        return waiting.wait(futures, timeout, return_when)

    def cancel(self, futures: ScalerFuture | Iterable[ScalerFuture]) -> None:
        """Cancel these, also those that run: they are interrupted, or their worker process is killed.

        Each future is cancelled at once, and the slot of a running task is free again within a second. What is done
        stays as it is.
        """
        self._require_open()
        for future in waiting.ours(futures, "cancel"):
            future.give_up()

    def failed(self) -> list[ScalerFuture]:
        """The futures of this client that failed, were not submitted anew by `retry`, and are still held by you."""
        self._require_open()
        return self._io.failures.all()

    def retry(self, futures: ScalerFuture | Iterable[ScalerFuture]) -> list[ScalerFuture]:
        """Submit those of these anew that failed, as they were submitted; a new future for each, in order."""
        self._require_open()
        anew = []
        for future in waiting.ours(futures, "retry"):
            again = future.again
            if again is not None:
                function = PickledFunction(again.function, again.frames, again.options.name)
                anew.append(self._append(function, again.options, b"".join(again.columns[0].data)))
                self._io.failures.remove(future)
        return anew

    def run_on_workers(self, fn: Callable[[], Any], tag: str | None = None) -> None:
        """Call `fn()` once on every worker, or on every worker with a tag, and return when all are done.

        It goes before tasks that wait, and behind those that run; while there is no worker it waits for one. A worker
        that comes later need not call it, one that dies before it has begun is not waited for. What `fn` returns is
        dropped; when it raises, or takes its worker down, the first failure is raised once all are done.
        """
        require_may_wait("run_on_workers")
        self._require_open()
        if self._face is not None:
            raise SchedulerError(
                "run_on_workers would wait for the worker that this task is in: call it outside of tasks"
            )
        call_shape(fn).check((), {})
        _, options = self._prepare(fn, {"tag": tag, "retries": 0, "priority": MOST_URGENT})
        run_on_workers(self._io, self._next_batch(), fn, replace(options, everywhere=True))

    def wait_for_workers(self, timeout: float | None = None) -> None:
        """Wait until at least one worker can take tasks; `TimeoutError` after `timeout` seconds."""
        require_may_wait("wait_for_workers")
        self._require_open()
        if not self._io.news.workers_ready.wait(timeout):
            raise TimeoutError(f"no worker was ready at {self._config.address} within {timeout:g} s")
        self._require_open()

    def _run(self, fn: Callable[..., Any], calls: Calls, given: TaskOptions, *, return_exceptions: bool) -> list[Any]:
        require_may_wait("map")
        self._require_open()
        function, options = self._prepare(fn, given)
        sink = MapSink(self._next_batch(), options.name)
        self._announce(sink, function, options)
        size = 0
        try:
            elements, as_calls = calls
            for column, futures in columns(elements, 0, as_calls):
                if futures:
                    self._require_own(future for among in futures.values() for future in among)
                    self._io.post(PostedColumn(sink.batch, column, futures))
                else:
                    self._io.post(TasksAppended(sink.batch, column))
                size = column.hi
            self._io.post(BatchClosed(sink.batch))
            results, failed = sink.collect(size)
        except BaseException:
            self._io.post(BatchClosed(sink.batch), Unwanted(sink.batch, (Range(0, size),)))
            raise
        finally:
            self._io.forget(sink.batch)
        if failed and not return_exceptions:
            error = results[failed[0]]
            error.results = results
            raise error
        return results

    def _pickle(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, tuple[ScalerFuture, ...]]:
        """A call in bytes, and the futures among its arguments."""
        with Found() as found:
            call = pickle_call(args, kwargs)
        futures = found.take()
        if futures:
            self._require_own(futures)
        return call, futures

    def _require_own(self, futures: Iterable[ScalerFuture]) -> None:
        for future in futures:
            if future.task.batch.owner != self._incarnation:
                raise ValueError(f"{future!r} is a future of another client, whose scheduler has it: pass its result()")

    # ---- batches

    def _prepare(self, fn: Callable[..., Any], given: TaskOptions) -> tuple[PickledFunction, BatchOptions]:
        """A function as it is now, and what is to be known of its tasks."""
        options = batch_options(function_name(fn), given)
        if options.tag is not None and self._face is not None:  # the first thing that it is told
            self._io.news.told.wait()
        tags = self._io.news.known_tags
        if options.tag is not None and tags is not None and options.tag not in tags:
            raise UnknownTagError(unknown_tag(options.tag, tags))
        return pickle_function(fn, exception_types(given) if given else ()), options

    def _next_batch(self) -> BatchId:
        with self._io.lock:
            return self._count_batch()

    def _count_batch(self) -> BatchId:
        return BatchId(self._incarnation, next(self._numbers))

    def _open_sink(self, function: PickledFunction, options: BatchOptions) -> SubmitSink:
        key = (function.id, options)
        sink = self._open.get(key)
        if sink is None:
            sink = self._open[key] = SubmitSink(self._count_batch(), self._io, options.name)
            self._announce(sink, function, options)
            if len(self._open) > OPEN_BATCHES:
                _, oldest = self._open.popitem(last=False)
                self._io.post(BatchClosed(oldest.batch))
                oldest.close()
        self._open.move_to_end(key)
        return sink

    def _announce(self, sink: Sink, function: PickledFunction, options: BatchOptions) -> None:
        if self._face is not None:
            options = self._face.nested_options(options)
        self._io.remember(sink)
        self._io.post(
            FunctionPickled(function.id, function.frames),
            BatchOpened(sink.batch, function.id, options),
        )

    # ---- life

    @property
    def identity(self) -> bytes:
        """Eight bytes that name this client at its scheduler."""
        return self._incarnation.to_bytes(8, "big")

    def disconnect(self) -> None:
        """Leave: what is unfinished is given up, and later use raises `ClientQuitException`. May be called twice."""
        self._io.leave(_DISCONNECTED)

    def clear(self) -> None:
        """Drop all work and objects of this client: futures that are not done are cancelled, running tasks ended."""
        with self._io.lock:
            self._require_open()
            self._open.clear()
            self._io.clear()

    def shutdown(self) -> None:
        """Stop the scheduler and all its workers; `ValueError` if it is protected, as it is by default.

        Afterwards this client is disconnected.
        """
        self._require_open()
        answer = self._io.ask(ShutdownAsked())
        if isinstance(answer, ShutdownAnswer) and answer.refused:
            raise ValueError(f"the scheduler at {self._config.address} goes on: {answer.refused}")
        self._io.leave("the client has had its scheduler stopped")

    def _require_open(self) -> None:
        if self._io.left_because:
            raise ClientQuitException(f"{self._io.left_because}; make a new Client")
        if self._io.is_over:
            raise copy.copy(self._io.error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        return f"<Client {self._config.address} {'inside a task' if self._face is not None else self._io.state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        epoch = self._io.epoch if self._face is None else 0
        return _reconnect, (type(self), self._profiling, self._config.elsewhere(), epoch)


def _itself(value: Any) -> Any:  # Any: data of a graph
    return value


def _reconnect(kind: type[Client], profiling: bool, config: ClientConfig, epoch: int) -> Client:  # noqa: FBT001  # pickled by position
    return kind(
        None if nested.is_home(config.address, epoch) else config.address,
        profiling,
        config.timeout_s,
        config.heartbeat_interval_s,
        name=config.name,
        key_file=config.key_file,
        insecure=config.insecure,
        insecure_off_loopback=config.insecure_off_loopback,
    )


@atexit.register
def _leave_all() -> None:
    """At the interpreter's end every client leaves, so that nothing hangs and the scheduler knows."""
    for io in list(living):
        io.leave(_DISCONNECTED)


def _disown() -> None:
    """In a forked child the sockets belong to the parent: every client says so when used."""
    for io in list(living):
        io.disown("this client belongs to the parent of this forked process")
    living.clear()


os.register_at_fork(after_in_child=_disown)
