"""What workers print, on its way from their pipes: to the cluster's own output, and to be told to clients.

Our own output may have no room: then it waits in the pipes, and workers that print wait for that; we never do.
"""

import math
from collections.abc import Callable

from scaler.worker.agent_events import Printed
from scaler.worker.echo import NO_ROOM_S, Echo
from scaler.worker.handle import WorkerHandle
from scaler.worker.output import STDERR
from scaler.worker.watch import Watch

#: of what a worker prints, so many pieces are read at once at most: it, or what it left behind, may go on writing
_MOST_READS = 64


class Forwarding:
    """Reads what workers print; with `echoes` all of it is echoed, else what no task is known for."""

    def __init__(
        self, echo: Echo, watch: Watch, clock: Callable[[], float], tell: Callable[[Printed], None], *, echoes: bool
    ) -> None:
        self._echo = echo
        self._watch = watch
        self._clock = clock
        self._tell = tell
        self._echoes = echoes
        #: output of workers that is not read until then, since our own has no room
        self._held: dict[tuple[WorkerHandle, int], None] = {}
        self._held_until = math.inf

    def begin(self, handle: WorkerHandle) -> None:
        """A worker is to be there."""
        for stream in handle.outputs:
            self._listen(handle, stream)

    def _listen(self, handle: WorkerHandle, stream: int) -> None:
        self._watch.watch(handle.outputs[stream], lambda: self._forward(handle, stream))

    def forward(self, handle: WorkerHandle, *, is_last: bool = False) -> None:
        """Pass on what it has printed, as far as our own output has room; the last may be lost."""
        for stream in handle.outputs:
            self._forward(handle, stream, is_last=is_last)
        if is_last:
            self._echo.ended(handle.worker)

    def _forward(self, handle: WorkerHandle, stream: int, *, is_last: bool = False) -> None:
        if (handle, stream) in self._held and not is_last:
            return
        for _ in range(_MOST_READS):
            has_room = self._echo.has_room(stream)
            if not has_room and not is_last:
                self._hold(handle, stream)
                return
            try:
                pieces = handle.read_output(stream)
            except BlockingIOError:
                return
            except EOFError:
                self._watch.forget(handle.outputs[stream])
                return
            for source, data in pieces:
                if has_room and (source is None or self._echoes):
                    self._echo.put(handle.worker, source, stream, data)
                if source is not None:
                    self._tell(Printed(handle.worker, source, data, stream == STDERR))

    def _hold(self, handle: WorkerHandle, stream: int) -> None:
        self._watch.forget(handle.outputs[stream])
        self._held[handle, stream] = None
        self._held_until = min(self._held_until, self._clock() + NO_ROOM_S)

    def discard(self, handle: WorkerHandle) -> None:
        """A worker is gone."""
        for stream, descriptor in handle.outputs.items():
            self._watch.forget(descriptor)
            self._held.pop((handle, stream), None)
        self._echo.ended(handle.worker)

    def close(self) -> None:
        """Nothing is printed any more."""
        self._echo.close()

    def due(self) -> float:
        """When to look."""
        due = self._echo.due()
        return self._held_until if due is None else min(due, self._held_until)

    def look(self, now: float) -> None:
        """Go on where there was no room."""
        self._echo.look()
        if now < self._held_until:
            return
        held, self._held, self._held_until = self._held, {}, math.inf
        for handle, stream in held:
            self._listen(handle, stream)
            self._forward(handle, stream)
