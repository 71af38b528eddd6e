"""What those that read from descriptors need of whoever waits for them."""

from collections.abc import Callable
from typing import Protocol


class Watch(Protocol):
    """Who waits for descriptors."""

    def watch(self, descriptor: int, action: Callable[[], object]) -> None:
        """Call `action` whenever there is something to read."""
        ...

    def forget(self, descriptor: int) -> None:
        """Watch it no more."""
        ...
