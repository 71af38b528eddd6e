"""When to tell that work waits because no worker is ready: once, after about two seconds. Pure."""

#: so often it is looked whether work waits
LOOK_EVERY_S = 1.0
#: work that waits at so many looks in a row is told of
LOOKS = 3


class Unattended:
    """What the scheduler says of its workers, and whether our work has been seen to wait while it had none."""

    def __init__(self) -> None:
        self._was_told = False
        self._seen_waiting = 0
        #: when to call `look`; None while workers are ready, nothing is known, or all is told
        self.due: float | None = None

    def learned(self, *, ready: bool, now: float) -> None:
        """The scheduler says whether any worker can take tasks."""
        self._seen_waiting = 0
        self.due = None if ready or self._was_told else now

    def look(self, *, work_waits: bool, now: float) -> bool:
        """Whether to tell the user now."""
        self._seen_waiting = self._seen_waiting + 1 if work_waits else 0
        self._was_told = self._seen_waiting == LOOKS
        self.due = None if self._was_told else now + LOOK_EVERY_S
        return self._was_told
