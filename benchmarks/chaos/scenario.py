"""What a scenario is: a number, bars, sizes and a function; and what its figures are worth beside its bars."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.system import Chaos
from benchmarks.report import aligned, number, wanted
from benchmarks.rows import Bar

Figures = dict[str, Any]
Line = dict[str, Any]
Sizes = Mapping[str, Any]

#: bars of every workload that is verified
VERIFIED = (
    Bar("lost", "lost", at_most=0),
    Bar("doubled", "doubled", at_most=0),
    Bar("wrong", "wrong values", at_most=0),
    Bar("errors", "errors", at_most=0),
)
#: … and of every scenario
ALWAYS = (Bar("left", "processes left", at_most=0),)


@dataclass(frozen=True)
class Scenario:
    """One scenario of the table; `number` is that of the bar it shows."""

    number: str
    title: str
    run: Callable[..., Figures]
    bars: tuple[Bar, ...]
    ci: Sizes = field(default_factory=dict)
    full: Sizes = field(default_factory=dict)
    ci_timeout_s: float = 120.0
    full_timeout_s: float = 900.0
    #: whether it needs network namespaces
    needs_hosts: bool = False
    #: whether it shows how another system does: no bar is on that
    is_peer: bool = False
    #: bars that only hold for the full size: at that of CI their figures say too little
    full_bars: tuple[Bar, ...] = ()

    def sizes(self, is_ci: bool) -> Sizes:  # noqa: FBT001  # the one thing to choose
        """The sizes for CI are those of the full size but for what is smaller."""
        return {**self.full, **self.ci} if is_ci else self.full

    def measure(self, chaos: Chaos, is_ci: bool) -> Figures:  # noqa: FBT001  # as above
        """Run it once."""
        return self.run(chaos, **self.sizes(is_ci))

    def bars_at(self, size: str) -> tuple[Bar, ...]:
        """Its own bars and those of every scenario, at size `ci` or `full`."""
        own = self.bars + (self.full_bars if size == "full" else ())
        return own if self.is_peer else own + ALWAYS


def verdict(bar: Bar, line: Line) -> str:
    """PASS or FAIL; why there is no figure where there is none; nothing where there is no bar."""
    if bar.at_least is None and bar.at_most is None:
        return ""
    if "skipped" in line:
        return "skipped"
    return "PASS" if bar.figure in line and bar.is_met_by(line[bar.figure]) else "FAIL"


def verdicts(scenario: Scenario, line: Line) -> list[str]:
    """What each of its bars says."""
    return [verdict(bar, line) for bar in scenario.bars_at(line.get("size", ""))]


def rows(scenario: Scenario, line: Line) -> Iterator[list[str]]:
    """The lines of the table for one scenario: one for each bar."""
    for place, bar in enumerate(scenario.bars_at(line.get("size", ""))):
        title = [scenario.number, scenario.title] if place == 0 else ["", ""]
        shown = (
            number(line[bar.figure]) if bar.figure in line else str(line.get("skipped", line.get("error", "-")))[:60]
        )
        yield [*title, bar.unit, wanted(bar), shown, verdict(bar, line)]


def table(scenarios: Sequence[Scenario], lines: Mapping[str, Line]) -> str:
    """Everything that was run, for a terminal."""
    body = [row for scenario in scenarios if scenario.number in lines for row in rows(scenario, lines[scenario.number])]
    return aligned([["#", "scenario", "", "bar", "figure", "pass"], *body], left=3)
