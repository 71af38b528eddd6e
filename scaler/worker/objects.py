"""Objects among the inputs of tasks: mapped where they lie, so that all workers of a host use one copy."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from scaler.ids import ObjectId
from scaler.payload.parts import load_parts
from scaler.protocol.columns import Frame
from scaler.protocol.references import read_record
from scaler.storage.reading import are_protected, parts_of

#: beside those of the task that runs, so many bytes stay mapped while tasks follow each other, and so many objects
KEPT_BYTES = 64 << 20
MOST_KEPT = 16
_FIXED = (bytes, str)
#: stands for a value that each task has to have one of its own of
_OWN: Any = object()


@dataclass(slots=True)
class _Kept:
    """Parts as they are mapped, and what was made of them if nobody can change it."""

    parts: list[memoryview]
    value: Any
    size_bytes: int
    #: the number of the call that used it last
    used_by: int
    path: str


class Objects:
    """Those that the tasks of one slot need: the next ones often need the same."""

    def __init__(self) -> None:
        #: the one used longest ago first
        self._kept: OrderedDict[ObjectId, _Kept] = OrderedDict()
        self._call = 0

    def __bool__(self) -> bool:
        """Whether any are kept."""
        return bool(self._kept)

    def fetch(self, record: Frame) -> Any:  # Any: the users' values
        """The value that a record stands for; `ObjectLostError` if its file is gone."""
        reference = read_record(record)
        kept = self._kept.get(reference.object)
        if kept is not None:
            value = load_parts(kept.parts) if kept.value is _OWN else kept.value
        else:
            self._drop_gone()
            parts = parts_of(reference)
            value = load_parts(parts)
            is_fixed = type(value) in _FIXED
            if not is_fixed and not are_protected(parts):  # compiled code may write to it all the same
                return value
            kept = _Kept(parts, value if is_fixed else _OWN, reference.size_bytes, self._call, reference.path)
            self._kept[reference.object] = kept
        kept.used_by = self._call
        self._kept.move_to_end(reference.object)
        return value

    def _drop_gone(self) -> None:
        """What its owner has freed is needed by no other task, and takes room of its store while it is mapped here."""
        for name, kept in list(self._kept.items()):
            if kept.used_by != self._call and not os.path.exists(kept.path):  # noqa: PTH110  # a fifth of a `Path`'s
                del self._kept[name]

    def is_open(self) -> None:
        """A call has all it needs: what it does not, and is too much to be kept, goes."""
        if not self._kept:
            return
        size_bytes = sum(kept.size_bytes for kept in self._kept.values())
        for name, kept in list(self._kept.items()):
            if kept.used_by == self._call or (size_bytes <= KEPT_BYTES and len(self._kept) <= MOST_KEPT):
                break
            size_bytes -= kept.size_bytes
            del self._kept[name]
        self._call += 1

    def let_go(self) -> None:
        """No task follows: what is freed meanwhile shall not be kept by us."""
        self._kept.clear()
