"""What large values leave behind when many were let go of: memory that the allocator keeps, and nobody needs."""

import ctypes

#: so many are many: each has taken 64 KiB at least
MANY = 64
#: programs let go of their own part a moment later
AFTER_S = 1.0


class FreedValues:
    """Counts them; a moment after the last of many what is free is given back to the system."""

    def __init__(self) -> None:
        self._count = self._seen = 0
        self._due: float | None = None

    def note(self) -> None:
        """One was let go of; called in the midst of anything."""
        self._count += 1

    def look(self, now: float) -> None:
        """Give back what is free, if it is time."""
        if self._count - self._seen >= MANY:
            self._seen, self._due = self._count, now + AFTER_S
        elif self._due is not None and now >= self._due:
            self._due = None
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim is not None:  # other systems have other allocators
                trim(0)

    def next_look(self) -> float | None:
        """When it is time."""
        return self._due
