"""From lines to a table: medians, ratios of runs measured in turn, and the verdict beside each bar."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.rows import ROWS, Bar, Row

Line = dict[str, Any]


def number(value: float) -> str:
    """Three digits that count, and thousands with a comma."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(bar: Bar, ours: Sequence[Line], theirs: Sequence[Sequence[Line]]) -> float | None:
    """The median over the turns of our figure over the best peer's of the same turn; None without a common turn."""
    best = max if bar.more_is_better else min
    ratios = []
    for line in ours:
        rivals = [
            rival[bar.figure]
            for lines in theirs
            for rival in lines
            if rival["turn"] == line["turn"] and bar.figure in rival
        ]
        if bar.figure in line and rivals:
            ratios.append(line[bar.figure] / best(rivals))
    return statistics.median(ratios) if ratios else None


def median(lines: Iterable[Line], figure: str) -> float | None:
    """The middle of what was measured, if anything was."""
    values = [line[figure] for line in lines if figure in line]
    return statistics.median(values) if values else None


def wanted(bar: Bar) -> str:
    """The bar as text."""
    if bar.at_least is not None:
        return f"≥ {number(bar.at_least)}"
    return "" if bar.at_most is None else f"≤ {number(bar.at_most)}"


def verdict(bar: Bar, value: float | None, ours: Sequence[Line]) -> str:
    """PASS or below; failed when no run of ours gave a figure; nothing where there is no bar, or nobody to compare."""
    if bar.at_least is None and bar.at_most is None:
        return ""
    if value is None:
        return "" if any(bar.figure in line for line in ours) else "failed"
    return "PASS" if bar.is_met_by(value) else "below"


def cell(lines: Sequence[Line], bar: Bar, size: object) -> str:
    """A peer's median, marked where its size was smaller or runs failed; or what went wrong."""
    value = median(lines, bar.figure)
    if value is None:
        reasons = ["-" if "unsupported" in line else str(line.get("error", "")).partition(":")[0] for line in lines]
        return reasons[0] if reasons else ""
    failed = sum("error" in line for line in lines)
    smaller = any(line.get("n", size) != size for line in lines)
    return number(value) + ("*" if smaller else "") + (f" ({failed} failed)" if failed else "")


@dataclass(frozen=True)
class Judged:
    """One bar of one row, with our figure and the verdict on it."""

    row: Row
    bar: Bar
    value: float | None
    verdict: str


def judge(row: Row, lines: Sequence[Line]) -> list[Judged]:
    """Our figure for each bar of the row, and what it is worth; `lines` are all those of the row."""
    ours = [line for line in lines if line["peer"] == row.ours]
    judged = []
    for bar in row.bars:
        theirs = [[line for line in lines if line["peer"] == peer] for peer in bar.times]
        value = ratio(bar, ours, theirs) if bar.times else median(ours, bar.figure)
        judged.append(Judged(row, bar, value, verdict(bar, value, ours)))
    return judged


def verdicts(lines: Sequence[Line]) -> list[str]:
    """The verdict on every bar of every row that was run."""
    return [judged.verdict for row, own in _by_row(lines) for judged in judge(row, own)]


def _by_row(lines: Sequence[Line]) -> Iterator[tuple[Row, list[Line]]]:
    for row in ROWS:
        own = [line for line in lines if line["row"] == row.name]
        if own:
            yield row, own


def row_cells(row: Row, lines: Sequence[Line], columns: Sequence[str]) -> list[list[str]]:
    """The lines of the table for one row: one for each bar."""
    by_peer = defaultdict(list)
    for line in lines:
        by_peer[line["peer"]].append(line)
    ours = by_peer[row.ours]
    size = next((line["n"] for line in ours if "n" in line), None)
    cells = []
    for position, judged in enumerate(judge(row, lines)):
        bar, value = judged.bar, judged.value
        title = row.title if position == 0 else ""
        if bar.times:
            shown, others = "-" if value is None else number(value), [""] * len(columns)
        else:
            shown, others = cell(ours, bar, size), [cell(by_peer[peer], bar, size) for peer in columns]
        cells.append([title, bar.unit, wanted(bar), shown or "-", judged.verdict, *others])
    return cells


def table(lines: Sequence[Line]) -> str:
    """Everything that was measured, aligned for a terminal."""
    columns = [name for name in PEERS if any(line["peer"] == name for line in lines) and not PEERS[name].is_ours]
    rows = [["", "", "bar", "scaler", "", *(PEERS[name].label for name in columns)]]
    for row, own in _by_row(lines):
        rows += row_cells(row, own, columns)
    return aligned(rows, left=2)


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of cells below their headings; the first columns begin on the left, the others end on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if place < left else text.rjust(width) for place, (text, width) in enumerate(placed)
        )
        for placed in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "─" * max(map(len, lines)), *lines[1:]])
