"""How results that stay in the store of the cluster that made them are named, and their files.

They are objects of the cluster. The upper half of the number is the worker's, the lower one counts what it has made, so
that no two workers make the same name, and each file tells whose it is.
"""

from scaler.ids import Incarnation, ObjectId, WorkerId

_COUNT_BITS = 32


def result_name(owner: Incarnation, worker: WorkerId, count: int) -> ObjectId:
    """One result of a worker of a cluster."""
    return ObjectId(owner, worker << _COUNT_BITS | count)


def maker_of(name: ObjectId) -> WorkerId:
    """The worker that made it."""
    return WorkerId(name.n >> _COUNT_BITS)


def file_name(name: ObjectId) -> str:
    """What the file of an object is called."""
    return f"{name.owner:016x}-{name.n}"


def named_by(file: str) -> ObjectId | None:
    """The object that a file of this name has; None if that is not what files of objects are called."""
    owner, _, n = file.partition("-")
    try:
        name = ObjectId(Incarnation(int(owner, 16)), int(n))
    except ValueError:
        return None
    return name if file_name(name) == file else None
