"""What a worker cluster tells its zygote, and the zygote its workers; both sides load this and little else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.ids import Incarnation
from scaler.resources import INLINE_BYTES

_NOBODY = Incarnation(0)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What all workers of a cluster have in common.

    `preload` is what each of them calls first, "" for nothing; `code_folder` is where code that came with functions
    lies, which may not be there yet.

    `tidying` is what they do when they are idle, as `Tidying.told`. `owner` is the cluster's incarnation, whose objects
    large results are, and `stores` the folders they go to, the first one first, and whether there is a limit to each;
    `inline_bytes` says which are large.
    """

    threads: int
    place: str
    preload: str = ""
    code_folder: str = ""
    tidying: str = ""
    owner: Incarnation = _NOBODY
    stores: Sequence[tuple[str, bool]] = ()
    inline_bytes: int = INLINE_BYTES


@dataclass(frozen=True, slots=True)
class ZygoteFacts:
    """What every zygote of a cluster is started with; workers look for modules in `paths` first.

    With `echoes` what tasks print goes to the cluster's own output too; what is no task's always does. It looks as
    `log_format` says.
    """

    workers: WorkerFacts
    paths: Sequence[str]
    environment: Mapping[str, str]
    echoes: bool = True
    log_format: str = "text"
