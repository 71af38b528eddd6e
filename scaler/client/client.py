"""The client: what users hold. It pickles calls, names them, and hands them to its I/O thread.

Whatever arrives is settled by that thread; values are unpickled in the thread that asks. One lock guards the open
batches, so that any number of threads may submit.
"""

import atexit
import copy
import functools
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, Unpack

from scaler.client import waiting
from scaler.client.completions import Completions
from scaler.client.config import ClientConfig, client_config
from scaler.client.draft import Draft, S
from scaler.client.futures import ScalerFuture
from scaler.client.io_thread import IoThread, living
from scaler.client.kept import KeptResults
from scaler.client.map_future import MapFuture, raise_first
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
from scaler.client.progress import ProgressWish, check_progress, expected, follow, shown
from scaler.client.signatures import call_shape
from scaler.client.sinks import MapSink, SubmitSink
from scaler.client.stream import Stream, checked_buffersize
from scaler.client.waits import require_may_wait
from scaler.errors import ClientQuitException, UnknownTagError
from scaler.ids import BatchId, Incarnation
from scaler.ledger.events import BatchClosed, BatchOpened, FunctionPickled, ShutdownAsked
from scaler.payload.calls import pickle_call
from scaler.payload.functions import PickledFunction, function_name, pickle_function
from scaler.protocol import BatchOptions, ShutdownAnswer
from scaler.resources import unknown_tag

#: So many batches stay open for further `submit`s of their function; the one used longest ago is closed.
OPEN_BATCHES = 64

_DISCONNECTED = "the client has been disconnected"


class Client:
    """A line to one scheduler: `map`, `starmap` and `submit` run functions on workers, wherever they are.

    `address` is the scheduler's (`tcp://host:port`, `ipc://name`, `host:port`, or anything with `get_address()`);
    without it `SCALER_ADDRESS` counts. `timeout_seconds` is how long a scheduler may be out of reach, at the start and
    later, before `DisconnectedError`. `key_file` names the key to show; without it the user's own is found. `insecure`
    is for a scheduler that was started with `--insecure`: no key, no encryption, and off this machine only with
    `insecure_off_loopback`; neither can be set by the environment. The constructor returns once the scheduler has
    answered. Threads may share a client; a forked child may not use it.
    A client that nobody holds any more leaves when its tasks are done.
    """

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
            address,
            name=name,
            timeout_s=timeout_seconds,
            heartbeat_interval_s=heartbeat_interval_seconds,
            key_file=key_file,
            insecure=insecure,
            insecure_off_loopback=insecure_off_loopback,
        )
        self._incarnation = Incarnation(int.from_bytes(os.urandom(8)) or 1)
        self._batches = 0
        #: the batches `submit` appends to, used longest ago first
        self._open: OrderedDict[tuple[bytes, BatchOptions], SubmitSink] = OrderedDict()
        self._io = IoThread(self._config, self._incarnation)
        weakref.finalize(self, self._io.abandon).atexit = False  # by then `_leave_all` has seen to it
        try:
            self._io.connect()
        except BaseException:
            self.disconnect()
            raise

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
        return self._append(*self._prepare(fn, given), pickle_call(args, kwargs))

    def _append(self, function: PickledFunction, options: BatchOptions, call: bytes) -> ScalerFuture:
        with self._io.lock:
            self._require_open()
            sink = self._open_sink(function, options)
            index, future = sink.add()
            self._io.post_call(sink.batch, index, call)
        if self._io.is_over:  # it may have told the sink so before this future was in it
            sink.abort(self._io.error)
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """Run `fn` on every element, each a task of its own, and return the results in order.

        With one iterable an element that is exactly a `tuple` is the argument list, any other the single argument;
        several iterables are zipped. When elements fail, the first one's exception is raised once all are done, with
        every outcome on its `results`; with `return_exceptions` the exceptions stand in the list instead.
        `progress=True` shows a bar on stderr if that is a terminal or a notebook; "plain", "rich" or "tqdm" show one of
        that kind wherever it is. The options are those of `submit`, for each element.
        """
        calls, given = calls_of(call_shape(fn), iterables), with_capabilities(options, capabilities)
        return self._run(fn, calls, given, expected(iterables), return_exceptions=return_exceptions, progress=progress)

    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        *,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """As `map`, where each element is an argument list."""
        calls, given = starred_calls_of(call_shape(fn), iterable), with_capabilities(options, capabilities)
        size = expected((iterable,))
        return self._run(fn, calls, given, size, return_exceptions=return_exceptions, progress=progress)

    def map_async(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        **options: Unpack[TaskOptions],
    ) -> MapFuture:
        """As `map`, but return once all is drawn: a sequence of futures, with `get` for all results."""
        calls = calls_of(call_shape(fn), iterables)
        check_progress(progress)
        draft = self._draft(fn, options, lambda batch, name: KeptResults(batch, self._io, name))
        follow(progress, draft.name, functools.partial(draft.tally, expected(iterables)), draft.sink.wait)
        draft.append_all(calls)
        draft.sink.complete()
        return MapFuture(draft.sink, return_exceptions=return_exceptions)

    def imap(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        buffersize: int | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        **options: Unpack[TaskOptions],
    ) -> Stream:
        """As `map`, but an iterator of the results that draws elements only as they are taken: both may be endless.

        At most `buffersize` elements are drawn and not given; by default 8,192, fewer where they or their results are
        large. Elements are drawn in the thread that iterates. An element that fails raises its exception when its turn
        comes, and the iterator may be used further; see `Stream`.
        """
        calls = calls_of(call_shape(fn), iterables)
        shown_as = (progress, expected(iterables))
        return self._stream(
            fn, calls, options, buffersize, shown_as, in_order=True, return_exceptions=return_exceptions
        )

    def imap_unordered(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        buffersize: int | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        **options: Unpack[TaskOptions],
    ) -> Stream:
        """As `imap`, but the results come as they are there."""
        calls = calls_of(call_shape(fn), iterables)
        shown_as = (progress, expected(iterables))
        return self._stream(
            fn, calls, options, buffersize, shown_as, in_order=False, return_exceptions=return_exceptions
        )

    def gather(self, futures: Any, *, return_exceptions: bool = False) -> Any:  # Any: see there
        """The results of the futures in their order; see `scaler.gather`."""
        return waiting.gather(futures, return_exceptions=return_exceptions)

    def as_completed(
        self, futures: Iterable[Future[Any]], timeout: float | None = None, *, with_results: bool = False
    ) -> Completions:
        """The futures as they finish; see `scaler.as_completed`."""
        return waiting.as_completed(futures, timeout, with_results=with_results)

    def wait(
        self,
        futures: Iterable[Future[Any]],
        timeout: float | None = None,
        return_when: str = "ALL_COMPLETED",
    ) -> Any:
        """`(done, not_done)` as `concurrent.futures.wait` gives them; see `scaler.wait`."""
        return waiting.wait(futures, timeout, return_when)

    def _run(
        self,
        fn: Callable[..., Any],
        calls: Calls,
        given: TaskOptions,
        size: int | None,
        *,
        return_exceptions: bool,
        progress: ProgressWish,
    ) -> list[Any]:
        require_may_wait("map")
        check_progress(progress)
        draft = self._draft(fn, given, MapSink)
        try:
            with shown(progress, draft.name, functools.partial(draft.tally, size)):
                draft.append_all(calls)
                results, failed = draft.sink.collect()
        except BaseException:
            draft.give_up()
            raise
        draft.forget()
        if not return_exceptions:
            raise_first(results, failed)
        return results

    def _stream(
        self,
        fn: Callable[..., Any],
        calls: Calls,
        given: TaskOptions,
        buffersize: int | None,
        shown_as: tuple[ProgressWish, int | None],
        *,
        in_order: bool,
        return_exceptions: bool,
    ) -> Stream:
        elements, as_calls = calls
        progress, size = shown_as
        check_progress(progress)
        ahead, drawn = checked_buffersize(buffersize), iter(elements)
        draft = self._draft(fn, given, MapSink)
        bar = shown(progress, draft.name, functools.partial(draft.tally, size))
        return Stream(self, draft, drawn, as_calls, ahead, bar, in_order=in_order, return_exceptions=return_exceptions)

    # ---- batches

    def _draft(self, fn: Callable[..., Any], given: TaskOptions, sink_of: Callable[[BatchId, str], S]) -> Draft[S]:
        """A new batch for calls of a function, whose outcomes go to a sink of its own."""
        self._require_open()
        function, options = self._prepare(fn, given)
        with self._io.lock:
            batch = self._count_batch()
        return Draft(self._io, sink_of(batch, options.name), function, options)

    def _prepare(self, fn: Callable[..., Any], given: TaskOptions) -> tuple[PickledFunction, BatchOptions]:
        """A function as it is now, and what is to be known of its tasks."""
        options = batch_options(function_name(fn), given)
        tags = self._io.news.known_tags
        if options.tag is not None and tags is not None and options.tag not in tags:
            raise UnknownTagError(unknown_tag(options.tag, tags))
        return pickle_function(fn, exception_types(given) if given else ()), options

    def _count_batch(self) -> BatchId:
        self._batches += 1
        return BatchId(self._incarnation, self._batches)

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

    def _announce(self, sink: SubmitSink, function: PickledFunction, options: BatchOptions) -> None:
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
        return f"<Client {self._config.address} {self._io.state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconnect, (type(self), self._profiling, self._config)


def _reconnect(kind: type[Client], profiling: bool, config: ClientConfig) -> Client:  # noqa: FBT001  # pickled by position
    return kind(
        config.address,
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
