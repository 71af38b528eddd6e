"""What a task needs and what a worker has: quantities by name, honoured as counts."""

from collections.abc import Mapping

#: Name to quantity, sorted by name, so that equal requests are equal values.
Resources = tuple[tuple[str, float], ...]

NO_RESOURCES: Resources = ()

#: more of anything is neither offered nor asked for
MOST_AMOUNT = 1e12


def resources_from(quantities: Mapping[str, float] | None) -> Resources:
    """The sorted form of a mapping; names that ask for nothing are dropped."""
    return tuple(sorted((name, float(amount)) for name, amount in (quantities or {}).items() if amount))


def fits(wanted: Resources, offered: Resources) -> bool:
    """Whether an offer holds at least what is wanted of every name."""
    have = dict(offered)
    return all(have.get(name, 0.0) >= amount for name, amount in wanted)
