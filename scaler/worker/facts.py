"""What a worker cluster tells its zygote, and the zygote its workers; both sides load this and little else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What all workers of a cluster have in common; `preload` is what each of them calls first, "" for nothing."""

    threads: int
    place: str
    preload: str = ""


@dataclass(frozen=True, slots=True)
class ZygoteFacts:
    """What every zygote of a cluster is started with; workers look for modules in `paths` first."""

    workers: WorkerFacts
    paths: Sequence[str]
    environment: Mapping[str, str]
