"""Pictures of dask's graphs without Graphviz: what is needed stands to the left of what needs it."""

import html
from pathlib import Path
from typing import Any

import dask
from dask.core import get_dependencies, toposort
from dask.utils import key_split

WIDTH, HEIGHT = 190, 44


def draw(collection: Any, path: Path, *, optimize_graph: bool = False) -> int:
    """Write the graph of a collection to an SVG file; how many nodes it has."""
    shown = dask.optimize(collection)[0] if optimize_graph else collection
    graph = dict(shown.__dask_graph__())
    needs = {key: get_dependencies(graph, key) for key in graph}
    column: dict[Any, int] = {}
    place: dict[Any, tuple[int, int]] = {}
    for key in toposort(graph):
        column[key] = max((column[needed] + 1 for needed in needs[key]), default=0)
        row = sum(1 for other in place if column[other] == column[key])
        place[key] = column[key] * WIDTH + 10, row * HEIGHT + 10
    lines = [
        f'<path d="M{place[needed][0] + 150} {place[needed][1] + 14} L{x} {y + 14}" stroke="gray"/>'
        for key, (x, y) in place.items()
        for needed in needs[key]
    ]
    boxes = [
        f'<rect x="{x}" y="{y}" width="150" height="28" rx="8" fill="white" stroke="black"/>'
        f'<text x="{x + 8}" y="{y + 18}" font-family="sans-serif" font-size="12">{html.escape(label(key))}</text>'
        for key, (x, y) in place.items()
    ]
    size = f'width="{max(x for x, _ in place.values()) + 160}" height="{max(y for _, y in place.values()) + 40}"'
    text = "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *lines, *boxes, "</svg>", ""])
    path.write_text(text, encoding="utf-8")
    return len(graph)


def label(key: Any) -> str:
    """What a node does, and for which chunk."""
    chunk = key[1:] if isinstance(key, tuple) else ()
    return " ".join([key_split(key), *map(str, chunk)])[:24]
