"""`imap`: elements are drawn as results are taken, so that neither side is ever far ahead of the other.

All is done in the thread that iterates. Elements travel in columns: a stream is filled up in steps, not one by one.
"""

import operator
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import islice
from typing import Any, NamedTuple, Self, SupportsIndex

from scaler.client.draft import Draft
from scaler.client.objects import Uploaded
from scaler.client.raising import not_an_end
from scaler.client.sinks import Begun, MapSink, Part
from scaler.client.waits import require_may_wait
from scaler.errors import ScalerError, StoreFullError
from scaler.ids import TaskId
from scaler.payload.calls import Block, Futures
from scaler.protocol.columns import ArgumentColumn

#: without `buffersize=` so many elements are drawn ahead, fewer where they and their results have more than so many
#: bytes together, and while nobody knows
MOST_AHEAD = 8192
LEAST_AHEAD = 32
BYTES_AHEAD = 64 << 20
#: so many for each result that is known, and for each task that was seen to run at the same time as others
_AHEAD_PER_DONE = 8
_AHEAD_PER_BUSY = 2
#: whatever results weigh, no more than so many are drawn for slots to have work
MOST_FOR_SLOTS = 512
#: what values took of which the results are there is free so soon at the latest: workers keep them for a second; and
#: so often it is looked for
RELEASE_S = 3.0
LOOK_S = 0.02
#: a stream is filled up again once this part of it is free
_REFILL_PARTS = 8


def checked_buffersize(value: object) -> int | None:
    """How many elements may be drawn ahead; None leaves it to the stream."""
    if value is None:
        return None
    if not isinstance(value, SupportsIndex) or (size := operator.index(value)) < 1:
        raise ValueError(f"buffersize is None or a number of elements, 1 or more, not {value!r:.50}")
    return size


class _Failed(NamedTuple):
    """A task's failure among the values that wait to be given."""

    error: BaseException


class _Source:
    """What is drawn from, and how it ended; no part of the stream, which nobody would let go of in time otherwise."""

    def __init__(self) -> None:
        self.is_drawn = False
        #: what the iterable raised
        self.error: Exception | None = None

    def until_error(self, elements: Iterator[Any]) -> Iterator[Any]:
        """The elements; whatever the user's own code raises ends them."""
        try:
            yield from elements
        except Exception as error:  # noqa: BLE001  # whatever it is, it is raised in its turn
            self.error = error
        finally:
            self.is_drawn = True


class Stream(Iterator[Any]):
    """The results of `imap`: an iterator that draws elements as it is iterated.

    A task that failed raises its exception when its turn comes, and iteration may go on behind it. Whatever the
    iterable itself raises comes behind the results of what it gave before. Elements that were drawn and whose results
    nobody will take are given up by `close`, or when nobody holds the stream any more.
    """

    def __init__(
        self,
        owner: object,
        draft: Draft[MapSink],
        elements: Iterator[Any],
        as_calls: Callable[[list[Any]], Block],
        buffersize: int | None,
        shown: AbstractContextManager[None],
        *,
        in_order: bool,
        return_exceptions: bool,
    ) -> None:
        #: the client, which must not leave while this is iterated
        self._owner = owner
        self._buffersize = buffersize
        self._in_order = in_order
        self._return_exceptions = return_exceptions
        self._source = _Source()
        self._elements = self._source.until_error(elements)
        self._as_calls = as_calls
        #: what is being drawn now, a column at a time
        self._drawing: Iterator[tuple[ArgumentColumn, Futures]] | None = None
        self._is_closed = self._is_over = False
        self._argument_bytes = 0
        #: in the column drawn last, and their sizes
        self._objects: dict[TaskId, int] = {}
        #: outcomes whose turn it is
        self._hand: deque[Any] = deque()
        #: in order: outcomes that came before their turn, by their first index
        self._early: dict[int, list[Any]] = {}
        self._turn = 0
        self._given = 0
        #: draw more once so many have been given
        self._draw_at = 0
        #: since when there is no room for the next element though nothing is under way any more
        self._full_since: float | None = None
        self._shown = ExitStack()
        self._shown.enter_context(shown)
        self._draft = draft

    # ---- taking

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:  # Any: whatever the task returned
        return self.next()

    def next(self, timeout: float | None = None) -> Any:  # Any: as above
        """The next result; `TimeoutError` if it is not there after `timeout` seconds, and it may be asked for again."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        if self._given >= self._draw_at:
            self._draw()
        if not self._hand and not self._wait(ends_at):
            self.close()
            error, self._source.error = self._source.error, None
            raise StopIteration if error is None else error
        self._given += 1
        outcome = self._hand.popleft()
        if type(outcome) is not _Failed:
            return outcome
        if self._return_exceptions:
            return outcome.error
        raise not_an_end(outcome.error)

    def _wait(self, ends_at: float | None) -> bool:
        """Wait until there is something to give; False at the end."""
        sink = self._draft.sink
        self._take(sink.arrived())
        while not self._hand:
            if self._is_over:
                return False
            if self._given < min(self._draft.size, self._draw_at):
                require_may_wait("imap")
                self._take([sink.wait(None if ends_at is None else max(0.0, ends_at - time.monotonic()))])
                if not self._is_closed:  # what came may be out of turn, or say that there is room for more
                    self._draw_at = self._given
            elif self._is_closed:
                return False
            else:
                if self._full_since is not None:
                    self._wait_a_little(ends_at)
                self._draw()
        return True

    def _wait_a_little(self, ends_at: float | None) -> None:
        """Wait for nothing but that what values took is free; whatever ends the stream comes meanwhile too."""
        require_may_wait("imap")
        left_s = LOOK_S if ends_at is None else min(LOOK_S, ends_at - time.monotonic())
        if left_s <= 0:
            raise TimeoutError("the next result is not there in time: there is no room for its arguments yet")
        with suppress(TimeoutError):
            self._take([self._draft.sink.wait(left_s)])

    def _take(self, parts: Iterable[Part]) -> None:
        """Take in what has arrived."""
        for part in parts:
            if isinstance(part, ScalerError):
                self.close()
                raise part
            if isinstance(part, Begun):
                continue
            for lo, outcomes, failed in self._draft.sink.opened(part):
                for index in failed:
                    outcomes[index - lo] = _Failed(outcomes[index - lo])
                self._sort_in(lo, outcomes)

    def _sort_in(self, lo: int, outcomes: list[Any]) -> None:
        if not self._in_order:
            self._hand.extend(outcomes)
            return
        self._early[lo] = outcomes
        while (due := self._early.pop(self._turn, None)) is not None:
            self._turn += len(due)
            self._hand.extend(due)

    # ---- drawing

    def _draw(self) -> None:
        """Draw until as many are ahead as may be; once there is something to give, the rest waits for another time.

        So it does where there is no room for the next element as long as any are under way, or have just been.
        """
        while not self._is_closed and not self._is_over:
            if self._drawing is None and not self._open_drawing():
                return
            try:
                self._draw_column()
            except StoreFullError:
                self._take(self._draft.sink.arrived())
                if self._hand or self._may_hold_back():
                    return
                self.close()
                raise
            except BaseException:  # also Ctrl-C: what was drawn may not have been sent
                self.close()
                raise
            if self._hand:
                return

    def _may_hold_back(self) -> bool:
        """Whether what was drawn before may fill the room; the next result is waited for, if one is to come."""
        if self._draft.sink.is_awaited:
            self._draw_at = self._given + 1
            return True
        now = time.monotonic()
        if self._full_since is None:
            self._full_since = now
        return self._draft.size > 0 and now < self._full_since + RELEASE_S

    def _open_drawing(self) -> bool:
        """Begin to draw as many as there is room for, if there is any and anything to draw."""
        if self._source.is_drawn:
            self._is_closed = True
            self._draft.close()
            self._draw_at = sys.maxsize
            return False
        most = self._most()
        room = most - (self._draft.size - self._given)
        worth_it = max(1, most // _REFILL_PARTS)
        if room < worth_it:
            self._draw_at = self._given + worth_it - room
            return False
        self._drawing = self._draft.columns(islice(self._elements, room), self._as_calls)
        return True

    def _draw_column(self) -> None:
        assert self._drawing is not None
        drawn = next(self._drawing, None)
        self._full_since = None
        if drawn is None:
            self._drawing = None
            return
        self._argument_bytes += drawn[0].size_bytes + self._object_bytes(drawn[1])
        self._draft.append(*drawn)
        self._take(self._draft.sink.arrived())

    def _object_bytes(self, futures: Futures) -> int:
        """What large arguments of a column take that those of the one before did not have."""
        needed = (one for among in futures.values() for one in among)
        objects = {one.task: one.size_bytes for one in needed if isinstance(one, Uploaded)}
        size_bytes = sum(size for task, size in objects.items() if task not in self._objects)
        self._objects = objects
        return size_bytes

    def _most(self) -> int:
        """How many elements may be drawn and not given."""
        sink, size = self._draft.sink, self._draft.size
        if self._buffersize is not None:
            return self._buffersize
        least = max(LEAST_AHEAD, min(MOST_FOR_SLOTS, _AHEAD_PER_BUSY * sink.busy))
        done = sink.done  # before its bytes, which are counted first: results seem too large rather than too small
        if not done:
            return least
        bytes_each = self._argument_bytes / size + sink.result_bytes / done
        return int(max(least, min(MOST_AHEAD, _AHEAD_PER_DONE * done, BYTES_AHEAD / bytes_each)))

    # ---- the end

    def close(self) -> None:
        """Draw no more, and give up what has been drawn and not given; again: nothing."""
        if self._is_over:
            return
        self._is_over = True
        self._draw_at = sys.maxsize
        self._drawing = None
        self._hand.clear()
        self._early.clear()
        if self._is_closed and self._given == self._draft.size:
            self._draft.forget()
        else:
            self._draft.give_up()
        self._draft.sink.drop()
        self._shown.close()

    def __del__(self) -> None:
        if "_draft" in self.__dict__:
            self.close()
