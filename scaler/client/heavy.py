"""Functions that carry much and are submitted call by call: what to tell their user, who pays for it at every call."""

from scaler.ids import FunctionId
from scaler.payload.functions import PickledFunction
from scaler.protocol.columns import MAX_FRAME_BYTES

#: one call more may be no loop
MANY = 3
#: so many such functions are kept in mind
MOST_COUNTED = 100


def is_heavy(function: PickledFunction) -> bool:
    """Whether it takes longer to pickle than a call takes to send."""
    return len(function.frames) > 1


class HeavyFunctions:
    """Counts how often each heavy function was pickled for a single call. Its user holds a lock."""

    def __init__(self) -> None:
        self._pickled: dict[FunctionId, int] = {}

    def submitted(self, function: PickledFunction) -> str | None:
        """A heavy function was pickled for one call; a hint when that has become a habit, once."""
        if function.id not in self._pickled and len(self._pickled) == MOST_COUNTED:
            return None
        times = self._pickled[function.id] = self._pickled.get(function.id, 0) + 1
        if times != MANY:
            return None
        megabytes = MAX_FRAME_BYTES * len(function.frames) / 1e6
        return (
            f"{function.name} carries {megabytes:,.0f} MB, which are sent once, but pickled again by every submit: "
            f"client.map({function.name}, …) pickles them once for all calls"
        )
