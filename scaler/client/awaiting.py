"""How coroutines wait for what the I/O thread brings: in the loop that runs already, without a thread of their own."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from scaler.client.futures import ScalerFuture
from scaler.client.waits import helper

#: where tasks run in the threads that wait for them, a loop looks for the next one so often
_LOOK_S = 0.005


class Arrival:
    """Something a coroutine waits for: any thread may tell that it is here, and do so again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] = self._loop.create_future()
        self._is_helping = False

    def tell(self, *_: object) -> None:
        """It is here; in a loop that is closed nobody waits any more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._note)

    def _note(self) -> None:
        if not self._arrived.done():
            self._arrived.set_result(None)

    def _help(self) -> None:
        """Run tasks between the steps of the loop, while it is waited for."""
        helping = helper()
        if helping is not None and self._is_helping and not self._arrived.done():
            self._loop.call_later(0 if helping.step() else _LOOK_S, self._help)

    async def wait(self, timeout_s: float | None = None, give_up: Callable[[], object] | None = None) -> bool:
        """Whether it is here, after so many seconds at most; a coroutine that is cancelled here calls `give_up`."""
        self._is_helping = True
        self._help()
        try:
            done, _ = await asyncio.wait((self._arrived,), timeout=timeout_s)
        except asyncio.CancelledError:
            if give_up is not None:
                give_up()
            raise
        finally:
            self._is_helping = False
        return bool(done)


#: what brings a value from another host while the loop goes on
in_thread = asyncio.to_thread


async def outcome(future: ScalerFuture) -> Any:  # Any: whatever the task returned
    """The result of a future; a coroutine that is cancelled meanwhile gives the task up, also while it runs."""
    if not future.done():
        arrival = Arrival()
        future.add_done_callback(arrival.tell)
        await arrival.wait(give_up=future.give_up)
    if future.cancelled():
        raise asyncio.CancelledError
    return await in_thread(future.result) if future.is_far else future.result()
