"""What a task needs and what a worker has: quantities by name, honoured as counts, and tags."""

from collections.abc import Mapping, Sequence

#: Name to quantity, sorted by name, so that equal requests are equal values.
Resources = tuple[tuple[str, float], ...]

NO_RESOURCES: Resources = ()
_TAGS_SHOWN = 32

#: more of anything is neither offered nor asked for
MOST_AMOUNT = 1e12


def resources_from(quantities: Mapping[str, float] | None) -> Resources:
    """The sorted form of a mapping; names that ask for nothing are dropped."""
    return tuple(sorted((name, float(amount)) for name, amount in (quantities or {}).items() if amount))


def fits(wanted: Resources, offered: Resources) -> bool:
    """Whether an offer holds at least what is wanted of every name."""
    have = dict(offered)
    return all(have.get(name, 0.0) >= amount for name, amount in wanted)


def unknown_tag(tag: str, known: Sequence[str]) -> str:
    """Why a task with a tag that is none of the known ones is refused, in words."""
    shown = [*map(repr, known[:_TAGS_SHOWN]), *["…"][: len(known) > _TAGS_SHOWN]]
    return f"no worker has, or ever had, the tag {tag!r}; known tags: {', '.join(shown) or 'none'}"
