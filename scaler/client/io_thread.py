"""The client's I/O thread: it owns the socket, the link and the ledger, and no other thread touches them.

Other threads leave events in a deque and wake it only when it sleeps. It drains what has come, lets the pure parts
decide, does what they ask, and sleeps until the next descriptor or deadline.
"""

import select
import threading
import time
import weakref
from collections import deque

from scaler.client import waker
from scaler.client.code import archive, with_archives
from scaler.client.config import ClientConfig
from scaler.client.durable import DurableWork
from scaler.client.failures import Failing, Failures
from scaler.client.farewell import LAST, Farewell
from scaler.client.freed import FreedValues
from scaler.client.futures import ScalerFuture
from scaler.client.news import News, tell
from scaler.client.output import Terminal
from scaler.client.pieces import NoPieces, Pieces
from scaler.client.posting import NeededTask, Posted, PostedColumn, taken
from scaler.client.questions import Answer, Question
from scaler.client.sinks import Sink
from scaler.client.stored import StoredValues
from scaler.client.waits import become_io_thread
from scaler.client.way import Way
from scaler.errors import ClientQuitException, ProtocolError, ScalerError
from scaler.ids import BatchId, Epoch, Range, TaskId
from scaler.ledger.events import (
    Began,
    CancelAsked,
    ClearAsked,
    Command,
    ExplainAsked,
    Fetched,
    Flushed,
    Learned,
    LinkDown,
    LinkUp,
    NotThere,
    Received,
    Reject,
    Resolve,
    Say,
    Unwanted,
)
from scaler.ledger.events import Event as LedgerEvent
from scaler.ledger.ledger import Ledger
from scaler.link import events as link_events
from scaler.net.transport import Arrived, Connected, Dialer, DialerEvent, Lost
from scaler.protocol import Acknowledged, Explanation, FetchChunks, NeedFunction, Output, WorkBatches, WorkOpened
from scaler.protocol.codec import Decoder, pack

#: so many messages are read before the pure parts are asked
DRAIN = 500
#: a connection that takes longer than this is told on stderr
PATIENCE_S = 2.0
#: `poll` takes no more than 24 days
_LONGEST_SLEEP_S = 3600.0

#: all whose thread may run, also those whose client is gone
living: "weakref.WeakSet[IoThread]" = weakref.WeakSet()


class IoThread:
    """The thread, and what other threads may ask of it."""

    def __init__(self, config: ClientConfig, way: Way) -> None:
        self._config = config
        self._dialing = way.dialing
        self._link = way.link
        self.freed = FreedValues()
        self.stored = StoredValues(self)
        self._ledger = Ledger(self.stored, config.durable)
        self._decoder = Decoder(way.direction)
        #: the scheduler that was reached last
        self.epoch = Epoch(0)
        self._dialer: Dialer | None = None
        self._posted: deque[Posted] = deque()
        self._waker = waker.Waker()
        self._poll = select.poll()
        self._poll.register(self._waker.fileno(), select.POLLIN)
        self._asleep = False
        #: when the link wants to be asked though nothing came, as it said before the last sleep
        self._link_due: float | None = 0.0
        self._over = threading.Event()
        self._error: ScalerError | None = None
        self._farewell = Farewell(self._posted.append, is_durable=bool(config.durable))
        self._is_abandoned = False
        self.objects: Pieces = NoPieces()
        self.work = DurableWork(config.durable, self)
        self.news = News(config.address)
        self.failures = Failures()
        self._terminal = Terminal()
        #: guards the client's open batches; who holds it knows that the client does not leave meanwhile
        self.lock = threading.Lock()
        #: why the client may not be used any more; "" while it may
        self.left_because = ""
        self._sinks: dict[BatchId, Sink] = {}
        self._thread = threading.Thread(target=self._run, name="scaler-client", daemon=True)
        living.add(self)

    @property
    def state(self) -> str:
        """In one word, for people."""
        if self.left_because or self._over.is_set():
            return "disconnected"
        return "connected" if self.news.told.is_set() else "connecting"

    @property
    def error(self) -> ScalerError:
        """What everybody who waits is told when the thread ends."""
        return self._error or ClientQuitException("the client has been disconnected")

    @property
    def is_over(self) -> bool:
        """Whether the thread has ended: what is posted from now on is heard by nobody."""
        return self._over.is_set()

    @property
    def is_quiet(self) -> bool:
        """Whether it sleeps, and nothing was left for it by other threads; or it has ended."""
        return self._over.is_set() or (self._asleep and not self._posted)

    # ---- for other threads

    def connect(self) -> None:
        """Start, and return when the scheduler has answered; raises what it answered, or that it did not."""
        self._thread.start()
        self._await(self.news.told, f"a scheduler at {self._config.address}")
        if self.work.name:
            self._await(self.work.told, f"the durable work {self.work.name!r}")
        if self._error is not None:
            raise self._error

    def _await(self, told: threading.Event, what: str) -> None:
        if not (told.wait(PATIENCE_S) or self._over.is_set()):
            tell(f"waiting for {what} …")
            told.wait()

    def start(self) -> None:
        """As `connect`, without waiting for an answer; nothing if the client has left already."""
        with self.lock:
            if not self.left_because:
                self._thread.start()

    def remember(self, sink: Sink) -> None:
        """Outcomes of this batch go to the sink, from before it is announced until `forget`."""
        self._sinks[sink.batch] = sink
        if self._over.is_set():
            self._abort_sinks()

    def forget(self, batch: BatchId) -> None:
        """Nobody waits for outcomes of this batch any more."""
        self._sinks.pop(batch, None)

    def post(self, *events: LedgerEvent | PostedColumn) -> None:
        """Tell the ledger, in order."""
        self._posted.extend(events)
        if self._asleep:
            self._waker.wake()

    def post_call(self, batch: BatchId, index: int, call: bytes, futures: tuple[NeededTask, ...] = ()) -> None:
        """Tell the ledger of one more call and the futures in it; neighbours that wait together travel together."""
        self._posted.append((batch, index, call, futures))
        if self._asleep:
            self._waker.wake()

    def unwant(self, batch: BatchId, index: int) -> None:
        """Nobody waits for the result of this task any more."""
        self.give_up(batch, (Range(index, index + 1),))

    def give_up(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        """Nobody waits for the results of these tasks any more."""
        self.post(Unwanted(batch, ranges))

    def ask_to_cancel(self, batch: BatchId, ranges: tuple[Range, ...]) -> None:
        """Have these cancelled if they have not begun."""
        self.post(CancelAsked(batch, ranges))

    def acknowledged(self, batch: BatchId, hi: int, timeout: float | None) -> None:
        """Wait until a batch is on disk up to `hi`."""
        self.work.wait(f"task {TaskId(batch, hi - 1)}", timeout, batch, hi)

    def note_failed(self, future: ScalerFuture) -> None:
        """This one has failed."""
        self.failures.add(future)

    def note_failed_among(self, tasks: Failing) -> None:
        """Some of these have failed."""
        self.failures.add_map(tasks)

    def ask(self, question: Question) -> Answer:
        """What the scheduler answers; raises why it never will."""
        return self.news.questions.ask(question, self)

    def explain(self, task: TaskId) -> str:
        """Where a task stands."""
        answer = self.ask(ExplainAsked(task))
        return answer.text if isinstance(answer, Explanation) else ""

    def clear(self) -> None:
        """Drop all that is unfinished; the caller holds `lock`, and appends to no batch opened before."""
        self.stored.keep_all()
        self.work.clear()
        self.post(ClearAsked())
        for batch in list(self._sinks):
            sink = self._sinks.pop(batch, None)
            if sink is not None:
                sink.clear()

    def leave(self, reason: str) -> None:
        """Leave the scheduler and end the thread; all that is unfinished is told the reason. Again: nothing."""
        with self.lock:
            if self.left_because:
                return
            self.left_because = reason
        if self._thread.is_alive():
            self._begin_leaving(ClientQuitException(reason))
            self._waker.wake()
            if threading.current_thread() is not self._thread:
                self._thread.join(self._farewell.longest_s + 1)
                self.objects.close()
        elif not self._over.is_set():  # it could not even be started
            self._error = self._error or ClientQuitException(reason)
            self._end()
        self._abort_sinks()
        self._terminal.close()

    def abandon(self) -> None:
        """The client is gone: leave once nothing is unfinished, or at once if its work is durable.

        Finalizers call it anywhere, so it takes no `lock`.
        """
        self._is_abandoned = True
        if not self.left_because:
            self._waker.wake()

    def disown(self, reason: str) -> None:
        """In a forked child: the thread and its sockets are the parent's, and so are the outcomes."""
        self.lock = threading.Lock()
        self._asleep = False  # nobody is to be woken, by a lock that another thread may have held
        self.left_because = self.left_because or reason
        self.stored.disown()
        self.work.disown()
        for sink in self._sinks.values():
            sink.disown(ClientQuitException(reason))
        self._sinks.clear()

    # ---- the thread

    def _run(self) -> None:
        become_io_thread()
        try:
            while self._turn():
                self._sleep()
        except ScalerError as error:
            self._error = self._error or error
        except BaseException as error:
            self._error = ProtocolError(f"the client's I/O thread failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._end()

    def _end(self) -> None:
        self._over.set()
        self.stored.keep_all()
        self.stored.over()
        self.work.end()
        self.news.end(self.error)
        self._abort_sinks()
        self._drop_dialer()
        self._dialing.close()
        self._waker.close()
        self.objects.close()

    def _turn(self) -> bool:
        """Do what there is to do; False when the thread is to end."""
        arrivals: list[link_events.DialledEvent] = []
        if self._dialer is not None:
            for event in self._dialer.receive(DRAIN):
                arrivals += self._link_events(event)
        ledger_events: list[LedgerEvent] = list(with_archives(taken(self._posted)))
        going = True
        if arrivals or (self._link_due is not None and self._link_due <= time.monotonic()):
            going = self._perform_link(self._link.handle(arrivals, time.monotonic()), ledger_events)
        if ledger_events or self._ledger_is_due():
            commands = self._ledger.handle(ledger_events, time.monotonic(), self._link.room_bytes)
            said = self._perform_ledger(commands)
            if said:
                going = self._perform_link(self._link.handle(said, time.monotonic()), []) and going
        self._look_after_work()
        stop_by = self._farewell.stop_by
        return going and not (stop_by is not None and self._may_leave(stop_by))

    def _look_after_work(self) -> None:
        """Tell the user if nobody does it; leave when it is done and the client is gone."""
        self._farewell.look()
        if self._is_abandoned and not self._farewell.is_begun and (self.work.name or not self._work_waits()):
            self._begin_leaving(ClientQuitException("the client is gone"))
        self.freed.look(time.monotonic())
        if self.news.next_look() is not None:
            self.news.look(self._work_waits, time.monotonic())

    def _work_waits(self) -> bool:
        return any(sink.is_awaited for sink in list(self._sinks.values()))

    def _begin_leaving(self, error: ScalerError) -> None:
        self.stored.keep_all()
        self._error = self._error or error
        self._farewell.begin(flushes=isinstance(error, ClientQuitException))

    def _may_leave(self, by: float) -> bool:
        """Whether the goodbye has arrived, or there is nobody to say it to, or it has taken too long."""
        has_arrived = not self._posted and not self._link.backlog_bytes
        return has_arrived or self._dialer is None or time.monotonic() >= by

    def _ledger_is_due(self) -> bool:
        due = self._ledger.next_deadline()
        if due is not None and due <= time.monotonic():
            return True
        return self._ledger.has_more_to_say and self._link.room_bytes > 0

    def _sleep(self) -> None:
        self._link_due = self._link.next_deadline()
        self._asleep = True  # whoever posts from here on wakes us
        if not self._posted and not (self._dialer is not None and self._dialer.pending()):
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                if descriptor == self._waker.fileno():
                    self._waker.clear()
        self._asleep = False

    def _patience_ms(self) -> float | None:
        """How long to sleep at most; None for as long as nothing comes."""
        looks = (self.news.next_look(), self.freed.next_look())
        wishes = (self._link_due, self._ledger.next_deadline(), self._farewell.due, *looks)
        deadlines = [due for due in wishes if due is not None]
        if not deadlines:
            return None
        wait_s = min(min(deadlines) - time.monotonic(), _LONGEST_SLEEP_S)
        return wait_s * 1000 + 0.5 if wait_s > 0 else 0.0

    def _link_events(self, event: DialerEvent) -> list[link_events.DialledEvent]:
        match event:
            case Arrived(_, frames):
                return [link_events.PacketArrived(header, header.frames) for header in self._decoder.decode(frames)]
            case Connected():
                return [link_events.Connected()]
            case Lost(_, reason, refused):
                self._drop_dialer()
                return [link_events.ConnectionLost(reason, refused)]

    def _dial(self) -> None:
        self._dialer = self._dialing.dial()
        for descriptor in self._dialer.filenos():
            self._poll.register(descriptor, select.POLLIN)

    def _drop_dialer(self) -> None:
        if self._dialer is not None:
            for descriptor in self._dialer.filenos():
                self._poll.unregister(descriptor)
            self._dialer.close()
            self._dialer = None

    def _perform_link(self, outputs: list[link_events.DialledOutput], ledger_events: list[LedgerEvent]) -> bool:
        packets: list[link_events.Transmit] = []
        for output in outputs:
            match output:
                case link_events.Transmit():
                    packets.append(output)
                case link_events.Deliver(Output() as message, frames):
                    self._terminal.show(message, frames)
                case link_events.Deliver(message, frames):
                    ledger_events.append(Received(message, frames))  # type: ignore[arg-type]  # the decoder's direction says so
                case link_events.Dial():
                    self._dial()
                case link_events.HangUp():
                    self._transmit(packets)
                    packets = []
                    self._drop_dialer()
                case link_events.LinkUp(epoch, resumed):
                    ledger_events.append(LinkUp(epoch, resumed))
                    self.epoch = epoch
                case link_events.LinkDown():
                    ledger_events.append(LinkDown())
                case link_events.Advised(text):
                    tell(text)
                case link_events.GaveUp(error):
                    self._error = self._error or error
                    return False
        self._transmit(packets)
        return True

    def _transmit(self, packets: list[link_events.Transmit]) -> None:
        if packets and self._dialer is not None:
            for frames in pack(packets):
                self._dialer.send(frames)

    def _perform_ledger(self, commands: list[Command]) -> list[link_events.DialledEvent]:
        said: list[link_events.DialledEvent] = []
        for command in commands:
            match command:
                case Say(message, frames):
                    said.append(link_events.Outgoing(message, frames))
                case Resolve(batch):
                    if (sink := self._sinks.get(batch)) is not None:
                        sink.resolve(command)
                case Reject(batch, ranges, failure, again):
                    if (sink := self._sinks.get(batch)) is not None:
                        sink.reject(ranges, failure, again)
                case Began(batch, ranges):
                    if (sink := self._sinks.get(batch)) is not None:
                        sink.began(ranges)
                case Fetched():
                    self.stored.fetched(command)
                case NotThere(name):
                    self.stored.not_there(name)
                case Learned(NeedFunction() as wanted):  # the ledger has let go of it
                    if (found := archive(wanted.function)) is not None:
                        self._posted.extend((found, Received(wanted)))
                case Learned(FetchChunks() as wanted_pieces):
                    said += [
                        link_events.Outgoing(one.message, one.frames) for one in self.objects.answer(wanted_pieces)
                    ]
                case Flushed(number) if number == LAST:
                    self._farewell.say()
                case Flushed(number):
                    self.work.flushed(number)
                case Learned(WorkOpened() | WorkBatches() | Acknowledged() as told):
                    if (refusal := self.work.learn(told)) is not None:
                        self._begin_leaving(refusal)
                case Learned(message):
                    self.news.learn(message, time.monotonic())
        return said

    def _abort_sinks(self) -> None:
        for batch in list(self._sinks):
            sink = self._sinks.pop(batch, None)
            if sink is not None:
                sink.abort(self.error)
