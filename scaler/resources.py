"""What a task needs and what a worker has: quantities by name, honoured as counts, and tags."""

import re
from collections.abc import Mapping, Sequence

#: Name to quantity, sorted by name, so that equal requests are equal values.
Resources = tuple[tuple[str, float], ...]

NO_RESOURCES: Resources = ()
#: the resource of which each task sees its own
GPU = "gpu"
_TAGS_SHOWN = 32

_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([kmgt])(i?)b?", re.IGNORECASE)

#: values up to this size go inside messages unless a process is told another, between these
INLINE_BYTES = 64 << 10
LEAST_INLINE_BYTES, MOST_INLINE_BYTES = 1 << 10, 64 << 20
#: more of anything is neither offered nor asked for
MOST_AMOUNT = 1e12


def resources_from(quantities: Mapping[str, float] | None) -> Resources:
    """The sorted form of a mapping; names that ask for nothing are dropped."""
    return tuple(sorted((name, float(amount)) for name, amount in (quantities or {}).items() if amount))


def bytes_text(size_bytes: float) -> str:
    """A size as people write it, decimal: 512 MB, 1.5 GB."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes:.0f} bytes"


def bytes_of(text: str) -> int:
    """Bytes of `500M` or `2 GB`, which are decimal, or of `300Mi` or `2GiB`, which are binary; else `ValueError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** ("kmgt".index(unit.lower()) + 1))


def fits(wanted: Resources, offered: Resources) -> bool:
    """Whether an offer holds at least what is wanted of every name."""
    have = dict(offered)
    return all(have.get(name, 0.0) >= amount for name, amount in wanted)


def unknown_tag(tag: str, known: Sequence[str]) -> str:
    """Why a task with a tag that is none of the known ones is refused, in words."""
    shown = [*map(repr, known[:_TAGS_SHOWN]), *["…"][: len(known) > _TAGS_SHOWN]]
    return f"no worker has, or ever had, the tag {tag!r}; known tags: {', '.join(shown) or 'none'}"
