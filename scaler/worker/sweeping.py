"""Removes the stores of processes of this host that were killed, now and then: in a thread, since it may be much."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from scaler.storage.places import sweep_stores

#: so often it is looked for
SWEEP_S = 60.0


class Sweeper:
    """Looks where stores usually lie, and in these folders, until it is closed."""

    def __init__(
        self,
        folders: Iterable[Path],
        every_s: float = SWEEP_S,
        sweep: Callable[[Iterable[Path]], None] = sweep_stores,
    ) -> None:
        self._folders = tuple(dict.fromkeys(folders))
        self._every_s = every_s
        self._sweep = sweep
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scaler-sweeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(self._every_s):
            self._sweep(self._folders)

    def close(self) -> None:
        """Look no more; what is being removed is left to who comes next."""
        self._is_over.set()
