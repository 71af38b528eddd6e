"""The client: what users hold. It pickles calls, names them, and hands them to its I/O thread.

Whatever arrives is settled by that thread; values are unpickled in the thread that asks.
"""

import html
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Self, Unpack

from scaler.client import getting, maps, retrying, waiting
from scaler.client.completions import Completions
from scaler.client.config import client_config
from scaler.client.discarded import warn_of
from scaler.client.everywhere import run_on_workers
from scaler.client.executor import ClientExecutor, refuse_words_of_executors
from scaler.client.face import Face
from scaler.client.futures import ScalerFuture
from scaler.client.lives import DISCONNECTED, connected, reconnect, shut_down
from scaler.client.map_future import MapFuture
from scaler.client.mapping import calls_of, starred_calls_of
from scaler.client.maps import Work
from scaler.client.objects import ObjectReference
from scaler.client.options import Capabilities, Defaults, TaskOptions, given_of, look_at_ambiguous, with_capabilities
from scaler.client.progress import ProgressWish, expected
from scaler.client.signatures import call_shape
from scaler.client.stream import Stream
from scaler.client.waits import require_may_wait
from scaler.payload import nested
from scaler.payload.custom import Carrier, Serializer

#: what a client inside a worker has in each task that uses it, and finds there
_OF_ITS_TASK = {"_incarnation": "incarnation", "_io": "io", "_batches": "batches"}


class Client(Executor):
    """A line to one scheduler: `map`, `starmap` and `submit` run functions on workers, wherever they are.

    `address` is the scheduler's (`tcp://host:port`, `ipc://name`, `host:port`, or anything with `get_address()`).
    Without it `SCALER_ADDRESS` counts, else the scheduler of yours that runs on this machine; if there is none, one is
    started with a worker for each CPU, for this process alone and as long as it lives. `timeout_seconds` is how long a
    scheduler may be out of reach, at the start and later, before `DisconnectedError`. What tasks print is written to
    `sys.stdout` and `sys.stderr` here, each line with its task and worker, unless `stream_output` is False.
    `serializer` makes bytes of functions, arguments and results in place of ours, see `Serializer`. `key_file` names
    the key to show; without it the user's own is found. `insecure` is for a scheduler that was started with
    `--insecure`: no key, no encryption, and off this machine only with `insecure_off_loopback`; neither can be set by
    the environment. With `ship_code` modules of your own, which lie below the folder of the script or the working
    directory, go to workers that lack them or have them otherwise. The constructor returns once the scheduler has
    answered. Threads may share a client; a forked child may not use it. A client that nobody holds any more leaves when
    its tasks are done.

    `durable` names work that outlives this process and the scheduler, which keeps it on disk: leaving
    gives nothing of it up, and whoever opens it again with the same key finds its `futures()`.

    Inside a task, `Client()` and any client that was sent there or made for the same scheduler submit through the
    task's own worker: no address, key or connection is needed. What a task has submitted is cancelled when it ends.
    """

    def __init__(
        self,
        address: Any = None,
        profiling: bool = False,  # noqa: FBT001, FBT002  # positional in the API users bring along
        timeout_seconds: float = 60,
        heartbeat_interval_seconds: float = 2,
        serializer: Serializer | None = None,
        *,
        name: str | None = None,
        durable: str | None = None,
        stream_output: bool = True,
        key_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        insecure_off_loopback: bool = False,
        ship_code: bool = True,
        **others: Any,  # Any: what Scaler has had for it
    ) -> None:
        warn_of(others)
        self._profiling = profiling
        self._serializer = serializer
        carrier = None if serializer is None else Carrier(serializer)
        #: one that nobody else holds would end
        self._cluster = address if hasattr(address, "get_address") else None
        self._config = client_config(
            nested.address() if address is None else address,
            name=name,
            durable=durable,
            timeout_s=timeout_seconds,
            heartbeat_interval_s=heartbeat_interval_seconds,
            key_file=key_file,
            insecure=insecure,
            insecure_off_loopback=insecure_off_loopback,
            ship_code=ship_code,
            stream_output=stream_output,
        )
        self._face: Face | None = None
        if nested.is_home(self._config.address, 0):
            self._face = Face(self._config, carrier)
            return
        self._incarnation, self._io, self._batches = connected(self, self._config, carrier)

    def __getattr__(self, name: str) -> Any:  # Any: whatever that attribute is
        if name in _OF_ITS_TASK and (face := self.__dict__.get("_face")) is not None:
            return getattr(face.side(), _OF_ITS_TASK[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- work

    def submit(  # type: ignore[override]  # a keyword that is an option is not the function's
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

        A future among the arguments, at any depth, stands for its value: the call runs when it is done, and fails with
        its exception if it fails. One of another client has to be done, else it is a `ValueError`.

        `tag`: only workers with it take the task; `UnknownTagError` lists those there are. `resources`: amounts it
        holds while it runs, such as `{"gpu": 1}`. `priority`: larger is sooner. `retries`: how often it runs again
        after its worker died, and, counted apart, after it raised one of `retry_on`; the latter not before
        `retry_delay_s` seconds, doubled each time up to 60. `timeout`: seconds one attempt may take from its begin,
        then `TaskTimeoutError`. `name`: what to call it in messages, instead of the function's name.
        A function with a parameter called like one of these, or that takes all keywords, is served by `submit_verbose`.
        """
        given = given_of(tag, resources, priority, retries, retry_on, retry_delay_s, timeout, name)
        if given:
            look_at_ambiguous(fn, given)
        return self._batches.submit(fn, args, kwargs, given)

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
        return self._batches.submit(fn, tuple(args), dict(kwargs or {}), with_capabilities(options, capabilities))

    def map(  # type: ignore[override]  # a list, as Scaler's: `executor()` gives the standard's
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """Run `fn` on every element, each a task of its own, and return the results in order.

        With one iterable an element that is exactly a `tuple` is the argument list, any other the single argument;
        several iterables are zipped. When elements fail, the first one's exception is raised once all are done, with
        every outcome on its `results`; with `return_exceptions` the exceptions stand in the list instead.
        `progress=True` shows a bar on stderr if that is a terminal or a notebook; "plain", "rich" or "tqdm" show one of
        that kind wherever it is. The options are those of `submit`, for each element.
        """
        given = with_capabilities(options, capabilities)
        work = Work(fn, calls_of(call_shape(fn), iterables), given, progress, expected(iterables))
        return maps.run(self._batches, work, return_exceptions=return_exceptions)

    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        *,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002  # Scaler's: functions are always sent as they are now
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> list[Any]:
        """As `map`, where each element is an argument list."""
        given = with_capabilities(options, capabilities)
        work = Work(fn, starred_calls_of(call_shape(fn), iterable), given, progress, expected((iterable,)))
        return maps.run(self._batches, work, return_exceptions=return_exceptions)

    def get(
        self,
        graph: Any,
        keys: Any,
        block: bool = True,  # noqa: FBT001, FBT002  # positional in the API users bring along
        capabilities: Capabilities | None = None,
        reserialize: bool = False,  # noqa: ARG002, FBT001, FBT002  # Scaler's: functions are always sent as they are now
        **options: Unpack[TaskOptions],
    ) -> Any:
        """The values of the keys of a graph, as a dict in the order of the keys; with `block` False, their futures.

        A graph maps keys to data or to `(callable, argument, …)`, where an argument that is a key stands for its value
        and any other for itself. Only what the keys need is run. A cycle or an unknown key is a `GraphError` before
        anything runs. For a graph of dask's, keys may be in lists, and the values are returned in the same lists.
        """
        return getting.get(self._batches, graph, keys, with_capabilities(options, capabilities), block=block)

    def compute(
        self, *collections: Any, sync: bool = False, optimize_graph: bool = True, **options: Unpack[TaskOptions]
    ) -> Any:
        """Compute dask collections; the future of the result of one, or a list of them for several or for a list.

        A dict, or a list in a list, is one collection: its result has the results in its places. What is no collection
        stands in the list as it is. With `sync` the results themselves are returned.
        """
        return getting.compute(self._batches, collections, options, sync=sync, optimize_graph=optimize_graph)

    @property
    def asynchronous(self) -> bool:
        """False, which dask asks before it makes a graph for this client; graphs then shuffle without a local disk."""
        getting.expect_dask_graphs()
        return False

    def map_async(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> MapFuture:
        """As `map`, but return once all is drawn: a sequence of futures, with `get` for all results.

        Once all are done `callback` is called with the results, or `error_callback` with the first failure, in the
        client's own thread, as callbacks of futures are.
        """
        work = Work(fn, calls_of(call_shape(fn), iterables), options, progress, expected(iterables))
        return maps.promised(self._batches, work, callback, error_callback, return_exceptions=return_exceptions)

    def starmap_async(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        *,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> MapFuture:
        """As `map_async`, where each element is an argument list."""
        work = Work(fn, starred_calls_of(call_shape(fn), iterable), options, progress, expected((iterable,)))
        return maps.promised(self._batches, work, callback, error_callback, return_exceptions=return_exceptions)

    def apply_async(
        self,
        fn: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        **options: Unpack[TaskOptions],
    ) -> ScalerFuture:
        """As `submit_verbose`; once it is done a callback is called, as those of `map_async` are."""
        future = self.submit_verbose(fn, args, kwds, **options)
        future.call_back(callback, error_callback)
        return future

    def imap(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        buffersize: int | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> Stream:
        """As `map`, but an iterator of the results that draws elements only as they are taken: both may be endless.

        At most `buffersize` elements are drawn and not given; by default 8,192, fewer where they or their results are
        large. Elements are drawn in the thread that iterates. An element that fails raises its exception when its turn
        comes, and the iterator may be used further; see `Stream`.
        """
        work = Work(fn, calls_of(call_shape(fn), iterables), options, progress, expected(iterables))
        return maps.stream(self._batches, self, work, buffersize, in_order=True, return_exceptions=return_exceptions)

    def imap_unordered(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        buffersize: int | None = None,
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        chunksize: int | None = None,  # noqa: ARG002  # multiprocessing.Pool's: calls always travel together
        **options: Unpack[TaskOptions],
    ) -> Stream:
        """As `imap`, but the results come as they are there."""
        work = Work(fn, calls_of(call_shape(fn), iterables), options, progress, expected(iterables))
        return maps.stream(self._batches, self, work, buffersize, in_order=False, return_exceptions=return_exceptions)

    def executor(self, **options: Unpack[TaskOptions]) -> ClientExecutor:
        """A strict `concurrent.futures.Executor` on this client: its `map`, `cancel` and `shutdown` are the standard's.

        The options are those of `submit`, for all its tasks.
        """
        return ClientExecutor(self, self._batches, options)

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

    def cancel(self, futures: ScalerFuture | Iterable[ScalerFuture]) -> None:
        """Cancel these, also those that run: they are interrupted, or their worker process is killed.

        Each future is cancelled at once, and the slot of a running task is free again within a second. What is done
        stays as it is.
        """
        self._batches.require_open()
        waiting.give_up(futures)

    def failed(self) -> list[ScalerFuture]:
        """The futures of this client that failed, were not submitted anew by `retry`, and are still held by you."""
        self._batches.require_open()
        return self._io.failures.all()

    def retry(self, futures: ScalerFuture | Iterable[ScalerFuture]) -> list[ScalerFuture]:
        """Submit those of these anew that failed, as they were submitted; a new future for each, in order.

        One that failed because a future among its arguments did needs that one to be given, too: else it is a
        `ValueError`.
        """
        self._batches.require_open()
        return retrying.retry(self._batches, waiting.ours(futures, "retry"))

    def run_on_workers(self, fn: Callable[[], Any], tag: str | None = None) -> None:
        """Call `fn()` once on every worker, or on every worker with a tag, and return when all are done.

        It goes before tasks that wait, and behind those that run; while there is no worker it waits for one. A worker
        that comes later need not call it, one that dies before it has begun is not waited for. What `fn` returns is
        dropped; when it raises, or takes its worker down, the first failure is raised once all are done.
        """
        run_on_workers(self._batches, fn, tag)

    def wait_for_workers(self, timeout: float | None = None) -> None:
        """Wait until at least one worker can take tasks; `TimeoutError` after `timeout` seconds."""
        require_may_wait("wait_for_workers")
        self._batches.require_open()
        self._io.news.wait_for_workers(timeout)
        self._batches.require_open()

    def send_object(self, obj: Any, name: str | None = None) -> ObjectReference:
        """Send a value once, to be passed to any number of tasks; what is returned stands for it among arguments.

        Tasks cannot write to its arrays. It is freed when no reference is left and no task needs it, or by `clear()`.
        """
        return self._batches.send_object(obj, name)

    # ---- life

    @property
    def identity(self) -> bytes:
        """Eight bytes that name this client at its scheduler."""
        return self._incarnation.to_bytes(8, "big")

    def futures(self) -> list[ScalerFuture]:
        """The futures of all tasks that the durable work of this client had when it was opened, in order.

        They are the same at each call. Nothing of them is sent here before the first one.
        """
        self._batches.require_open()
        return self._io.work.futures()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that this client has submitted is on disk; `TimeoutError` after `timeout` seconds."""
        self._batches.require_open()
        self._io.work.wait("what this client has submitted", timeout)

    def disconnect(self) -> None:
        """Leave: what is unfinished is given up unless it is durable; later use raises `ClientQuitException`."""
        self._io.leave(DISCONNECTED)

    def clear(self) -> None:
        """Drop all work and objects of this client: futures that are not done are cancelled, running tasks ended."""
        self._batches.clear()

    def shutdown(self, *wait: bool, **others: bool) -> None:  # Scaler's meaning; `executor()` has the standard's
        """Stop the scheduler and all its workers; `ValueError` if it is protected, as it is by default.

        Afterwards this client is disconnected. What ends an executor alone is the `shutdown` of `executor()`.
        """
        refuse_words_of_executors(*wait, *others)
        self._batches.require_open()
        shut_down(self._io, self._config.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio  # noqa: PLC0415  # it takes its time; whose loop runs has it

        await asyncio.to_thread(self.disconnect)

    def __repr__(self) -> str:
        return f"<Client {self._config.address} {self._state()}>"

    def _repr_html_(self) -> str:
        return f"<b>Client</b> <code>{html.escape(self._config.address)}</code> {self._state()}"

    def _state(self) -> str:
        return "inside a task" if self._face is not None else self._io.state

    def __reduce__(self) -> tuple[Any, ...]:
        epoch = self._io.epoch if self._face is None else 0
        return reconnect, (type(self), self._profiling, self._config.elsewhere(), epoch, self._serializer)
