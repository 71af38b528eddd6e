"""What is made of the files' censuses: totals, tables, the import graph, as text for a terminal."""

import heapq
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from examples.stdlib_census.parsing import ModuleCensus

TOP = 10


def import_graph(censuses: Iterable[ModuleCensus]) -> dict[str, set[str]]:
    """For each module of the library, written in C or in Python, those that it imports anywhere in its source."""
    read = list(censuses)
    known = {census.module for census in read} | set(sys.stdlib_module_names)
    graph: dict[str, set[str]] = {}
    for census in read:
        found = {longest_known(name, known) for name in census.imports} - {"", census.module}
        graph[census.module] = found
    return graph


def longest_known(name: str, known: set[str]) -> str:
    """The module that a dotted name is or is in; empty when it is none of the known."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def tables(censuses: Sequence[ModuleCensus]) -> str:
    """The whole report; the same censuses in any order give the same text."""
    ordered = sorted(censuses, key=lambda census: census.module)
    parsed = [census for census in ordered if not census.unparsable]
    parts = [totals(ordered, parsed), packages(parsed), longest_functions(parsed), imports(parsed)]
    return "\n\n".join(parts)


def totals(ordered: Sequence[ModuleCensus], parsed: Sequence[ModuleCensus]) -> str:
    """What there is in all, and what could not be read."""
    reasons = Counter(census.unparsable for census in ordered if census.unparsable)
    rows = [
        ("modules", len(parsed)),
        ("lines", sum(census.lines for census in parsed)),
        ("classes", sum(census.classes for census in parsed)),
        ("functions and methods", sum(census.functions for census in parsed)),
        ("  of them async", sum(census.async_functions for census in parsed)),
    ]
    rows += [(f"not parsable: {reason}", count) for reason, count in sorted(reasons.items())]
    return aligned(("In all", ""), rows)


def packages(parsed: Sequence[ModuleCensus]) -> str:
    """The largest packages, with all modules below them."""
    below: dict[str, list[ModuleCensus]] = defaultdict(list)
    for census in parsed:
        below[census.module.partition(".")[0]].append(census)
    rows = [
        (
            name,
            len(inside),
            sum(census.lines for census in inside),
            sum(census.classes for census in inside),
            sum(census.functions for census in inside),
        )
        for name, inside in below.items()
    ]
    top = heapq.nsmallest(TOP, rows, key=lambda row: (-row[2], row[0]))
    return aligned(("Largest packages", "modules", "lines", "classes", "functions"), top)


def longest_functions(parsed: Sequence[ModuleCensus]) -> str:
    """The longest functions anywhere, by lines."""
    found = [one for census in parsed for one in census.longest]
    top = heapq.nsmallest(TOP, found, key=lambda one: (-one[0], one[1]))
    return aligned(("Longest functions", "lines"), [(name, lines) for lines, name in top])


def imports(parsed: Sequence[ModuleCensus]) -> str:
    """The import graph in two numbers, and the modules that most others import."""
    graph = import_graph(parsed)
    importers = Counter(target for targets in graph.values() for target in targets)
    rows = [("(all edges of the import graph)", importers.total())]
    rows += [("(modules nobody imports)", sum(module not in importers for module in graph))]
    rows += heapq.nsmallest(TOP, importers.items(), key=lambda item: (-item[1], item[0]))
    return aligned(("Most imported modules", "imported by"), rows)


def aligned(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table: the first column to the left, numbers to the right with commas."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [list(heads), *texts]
    ]
    return "\n".join([lines[0], "─" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])
