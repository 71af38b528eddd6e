"""Calls that are submitted one by one and carry much: what to tell their user, who pays for it at every call."""

from collections.abc import Hashable, Iterable

from scaler.client.objects import Uploaded
from scaler.client.posting import NeededTask
from scaler.ids import FunctionId
from scaler.payload.functions import PickledFunction
from scaler.protocol.columns import MAX_FRAME_BYTES

#: one call more may be no loop
MANY = 3
#: so many different ones are kept in mind
MOST_COUNTED = 100


class HeavyCalls:
    """Counts how often the same much was submitted. Its user holds a lock."""

    def __init__(self) -> None:
        self._times: dict[Hashable, int] = {}
        #: functions whose calls were told to carry the same
        self._told: set[FunctionId] = set()
        #: what functions were told to share, by their names: each change makes another function
        self._shared: set[tuple[str, str]] = set()

    def pickled(self, function: PickledFunction) -> str | None:
        """A function was; a hint if its calls may change what others have, once for each."""
        what = function.name, function.shared
        if not function.shared or what in self._shared or len(self._shared) == MOST_COUNTED:
            return None
        self._shared.add(what)
        return (
            f"{function.name} brings {_megabytes(MAX_FRAME_BYTES * len(function.frames))}, {function.shared}, which is "
            "opened once for all tasks of a worker: each sees what others have changed in it. Pass it as an argument, "
            "or what client.send_object(…) returns in its place"
        )

    def submitted(
        self, function: PickledFunction, call: bytes, needed: Iterable[NeededTask], *, is_node: bool = False
    ) -> str | None:
        """One call was submitted, as a node of a graph or by itself; a hint when what it carries has become a habit.

        There is one for each.
        """
        if len(function.frames) > 1 and self._is_habit(function.id):
            by_map = f"by every submit: client.map({function.name}, …) pickles them once for all calls"
            by_node = "for every node that calls it: make them a node of their own, and an argument of the others"
            return (
                f"{function.name} carries {_megabytes(MAX_FRAME_BYTES * len(function.frames))}, which are sent once, "
                f"but pickled again {by_node if is_node else by_map}"
            )
        if len(call) > MAX_FRAME_BYTES and self._is_habit((function.id, "call")):
            return (
                f"each call of {function.name} carries {_megabytes(len(call))}: what calls have in common is sent once "
                "by client.send_object(…), whose result is passed in its place"
            )
        for one in needed:
            if isinstance(one, Uploaded) and _is_heavy(one) and self._is_habit(one.task):
                if function.id in self._told:
                    return None
                self._told.add(function.id)
                by_map = "" if is_node else f"client.map({function.name}, …) makes all calls at once, and "
                return (
                    f"calls of {function.name} carry the same {_megabytes(one.size_bytes)} again and again, which are "
                    f"sent once: {by_map}what client.send_object(…) returns can be passed in their place"
                )
        return None

    def _is_habit(self, what: Hashable) -> bool:
        if what not in self._times and len(self._times) == MOST_COUNTED:
            return False
        times = self._times[what] = self._times.get(what, 0) + 1
        return times == MANY


def _is_heavy(one: Uploaded) -> bool:
    return one.is_lifted and one.size_bytes > MAX_FRAME_BYTES


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"
