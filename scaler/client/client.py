"""The client: what users hold. It pickles calls, names them, and hands them to its I/O thread.

Whatever arrives is settled by that thread; values are unpickled in the thread that asks.
"""

import atexit
import html
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Self, Unpack

from scaler.client import finding, getting, maps, waiting
from scaler.client.batches import Batches
from scaler.client.completions import Completions
from scaler.client.config import ClientConfig, client_config
from scaler.client.discarded import warn_of
from scaler.client.everywhere import run_on_workers
from scaler.client.executor import ClientExecutor
from scaler.client.face import Face
from scaler.client.futures import ScalerFuture
from scaler.client.io_thread import IoThread, living
from scaler.client.map_future import MapFuture
from scaler.client.mapping import calls_of, starred_calls_of
from scaler.client.maps import Work
from scaler.client.options import Capabilities, Defaults, TaskOptions, given_of, refuse_ambiguous, with_capabilities
from scaler.client.progress import ProgressWish, expected
from scaler.client.signatures import call_shape
from scaler.client.stream import Stream
from scaler.client.waits import require_may_wait
from scaler.client.way import way_to_scheduler
from scaler.errors import SchedulerError
from scaler.ids import SECRET_BYTES, incarnation_of
from scaler.ledger.events import ShutdownAsked
from scaler.payload import nested
from scaler.payload.custom import Carrier, Serializer
from scaler.payload.functions import function_name
from scaler.protocol import ShutdownAnswer

_DISCONNECTED = "the client has been disconnected"
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
        serializer: Serializer | None = None,
        *,
        name: str | None = None,
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
        secret = os.urandom(SECRET_BYTES)
        self._incarnation = incarnation_of(secret)
        self._io = IoThread(self._config, way_to_scheduler(self._config, secret))
        self._batches = Batches(self._io, self._incarnation, carrier, quiet=not stream_output, ship_code=ship_code)
        self._connect()

    def _connect(self) -> None:
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
        A function with a parameter called like one of these is served by `submit_verbose`.
        """
        given = given_of(tag, resources, priority, retries, retry_on, retry_delay_s, timeout, name)
        if given:
            refuse_ambiguous(function_name(fn), call_shape(fn).names, given)
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
        self, *collections: Any, optimize_graph: bool = True, **options: Unpack[TaskOptions]
    ) -> ScalerFuture | list[ScalerFuture]:
        """Compute dask collections; the future of the result of one, or a list of them for several."""
        return getting.compute(self._batches, collections, options, optimize_graph=optimize_graph)

    def map_async(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        return_exceptions: bool = False,
        progress: ProgressWish = False,
        **options: Unpack[TaskOptions],
    ) -> MapFuture:
        """As `map`, but return once all is drawn: a sequence of futures, with `get` for all results."""
        work = Work(fn, calls_of(call_shape(fn), iterables), options, progress, expected(iterables))
        return MapFuture(maps.keep(self._batches, work), return_exceptions=return_exceptions)

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
        work = Work(fn, calls_of(call_shape(fn), iterables), options, progress, expected(iterables))
        return maps.stream(self._batches, self, work, buffersize, in_order=True, return_exceptions=return_exceptions)

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
        if isinstance(futures, MapFuture):
            futures.cancel()
            return
        for future in waiting.ours(futures, "cancel"):
            future.give_up()

    def failed(self) -> list[ScalerFuture]:
        """The futures of this client that failed, were not submitted anew by `retry`, and are still held by you."""
        self._batches.require_open()
        return self._io.failures.all()

    def retry(self, futures: ScalerFuture | Iterable[ScalerFuture]) -> list[ScalerFuture]:
        """Submit those of these anew that failed, as they were submitted; a new future for each, in order."""
        self._batches.require_open()
        anew = []
        for future in waiting.ours(futures, "retry"):
            again = future.again
            if again is not None:
                anew.append(self._batches.submit_again(again))
                self._io.failures.remove(future)
        return anew

    def run_on_workers(self, fn: Callable[[], Any], tag: str | None = None) -> None:
        """Call `fn()` once on every worker, or on every worker with a tag, and return when all are done.

        It goes before tasks that wait, and behind those that run; while there is no worker it waits for one. A worker
        that comes later need not call it, one that dies before it has begun is not waited for. What `fn` returns is
        dropped; when it raises, or takes its worker down, the first failure is raised once all are done.
        """
        if self._face is not None:
            raise SchedulerError(
                "run_on_workers would wait for the worker that this task is in: call it outside of tasks"
            )
        run_on_workers(self._batches, fn, tag)

    def wait_for_workers(self, timeout: float | None = None) -> None:
        """Wait until at least one worker can take tasks; `TimeoutError` after `timeout` seconds."""
        require_may_wait("wait_for_workers")
        self._batches.require_open()
        if not self._io.news.workers_ready.wait(timeout):
            raise TimeoutError(f"no worker was ready at {self._config.address} within {timeout:g} s")
        self._batches.require_open()

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
        self._batches.clear()

    def shutdown(self) -> None:  # type: ignore[override]  # Scaler's meaning; `executor()` has the standard's
        """Stop the scheduler and all its workers; `ValueError` if it is protected, as it is by default.

        Afterwards this client is disconnected. What ends an executor alone is the `shutdown` of `executor()`.
        """
        self._batches.require_open()
        answer = self._io.ask(ShutdownAsked())
        if isinstance(answer, ShutdownAnswer) and answer.refused:
            raise ValueError(f"the scheduler at {self._config.address} goes on: {answer.refused}")
        self._io.leave("the client has had its scheduler stopped")
        finding.ended(self._config.address)

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
        return _reconnect, (type(self), self._profiling, self._config.elsewhere(), epoch, self._serializer)


def _reconnect(
    kind: type[Client],
    profiling: bool,  # noqa: FBT001  # pickled by position
    config: ClientConfig,
    epoch: int,
    serializer: Serializer | None,
) -> Client:
    return kind(
        None if nested.is_home(config.address, epoch) else config.address,
        profiling,
        config.timeout_s,
        config.heartbeat_interval_s,
        serializer,
        name=config.name,
        key_file=config.key_file,
        insecure=config.insecure,
        insecure_off_loopback=config.insecure_off_loopback,
        ship_code=config.ship_code,
        stream_output=config.stream_output,
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
