"""Which nodes of a dask graph run as one task: what is done chunk by chunk, so that no chunk travels in between.

The chunks of a collection have keys `(name, *place)`. A node all of whose needs have its own place is chunkwise; it
takes along what nobody else needs. Nodes of other places stay tasks of their own, so nothing waits that ran at once.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence


def fused(
    order: Sequence[Hashable], needs: Mapping[Hashable, Collection[Hashable]], wanted: Collection[Hashable]
) -> list[list[Hashable]]:
    """Every node in one fusion, which runs as one task whose value is its last node's, in an order that can be run.

    `order` has all nodes, each behind those it needs. The value of a wanted one is to be known, so it ends its fusion.
    """
    kept = set(wanted)
    ends = {key: key for key in order}  # of each node, the end of the fusion it is in
    used_by: dict[Hashable, list[Hashable]] = {key: [] for key in order}
    for key in order:
        for needed in needs[key]:
            used_by[needed].append(key)
    for key in reversed(order):
        users = used_by[key]
        if key in kept or not all(_is_chunkwise(user, needs[user]) for user in users):
            continue
        found = {ends[user] for user in users}
        if len(found) == 1:
            ends[key] = found.pop()
    fusions: dict[Hashable, list[Hashable]] = {key: [] for key in order if ends[key] == key}
    for key in order:
        fusions[ends[key]].append(key)
    return list(fusions.values())


def _is_chunkwise(key: Hashable, needs: Collection[Hashable]) -> bool:
    place = _place(key)
    return place is not None and all(_place(needed) == place for needed in needs)


def _place(key: Hashable) -> tuple[Hashable, ...] | None:
    return key[1:] if isinstance(key, tuple) and len(key) > 1 else None
