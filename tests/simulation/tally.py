"""What histories met: tasks, faults, moves of the table, and kinds of faults that came together."""

from collections import Counter
from itertools import combinations
from typing import Any

from scaler.core.lifecycle import TRANSITIONS, State, Trigger
from scaler.core.scheduler import SchedulerCore

Moves = Counter[tuple[State, Trigger]]


class Tally:
    """Counts of one history, or of many."""

    def __init__(self) -> None:
        self.histories = 0
        self.tasks = 0
        self.batches = 0
        self.kinds: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.moves: Moves = Counter()
        self.answers: Counter[str] = Counter()
        #: what was met of tasks that submit tasks
        self.nested: Counter[str] = Counter()

    def note_core(self, core: SchedulerCore) -> None:
        """A scheduler has ended, or the history."""
        self.moves.update(core.managers.tasks.moved)

    def closed(self) -> "Tally":
        """The history is over."""
        self.histories = 1
        self.pairs.update(combinations(sorted(self.kinds), 2))
        return self

    def add(self, other: "Tally") -> None:
        """Another's counts too."""
        self.histories += other.histories
        self.tasks += other.tasks
        self.batches += other.batches
        self.kinds += other.kinds
        self.pairs += other.pairs
        self.moves += other.moves
        self.answers += other.answers
        self.nested += other.nested

    # ---- for another process

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "histories": self.histories,
            "tasks": self.tasks,
            "batches": self.batches,
            "kinds": self.kinds,
            "pairs": [[*pair, count] for pair, count in self.pairs.items()],
            "moves": [[state.name, trigger.name, count] for (state, trigger), count in self.moves.items()],
            "answers": self.answers,
            "nested": self.nested,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Tally":
        """What `to_json` made."""
        tally = cls()
        tally.histories, tally.tasks, tally.batches = values["histories"], values["tasks"], values["batches"]
        tally.kinds = Counter(values["kinds"])
        tally.pairs = Counter({(first, second): count for first, second, count in values["pairs"]})
        tally.moves = Counter({(State[state], Trigger[trigger]): count for state, trigger, count in values["moves"]})
        tally.answers = Counter(values["answers"])
        tally.nested = Counter(values["nested"])
        return tally

    # ---- for people

    def table(self, elsewhere: dict[tuple[State, Trigger], str]) -> str:
        """All of it; `elsewhere` says of the moves that no history can bring which test drives them."""
        faults = sum(self.kinds.values())
        lines = [
            f"{self.histories} histories, {self.batches} batches, {self.tasks} tasks, {faults} faults",
            "answers: " + ", ".join(f"{count} {answer}" for answer, count in self.answers.most_common()),
            "nested: " + ", ".join(f"{count} {what}" for what, count in sorted(self.nested.items())),
            "",
            *(f"{count:>8} {kind}" for kind, count in sorted(self.kinds.items())),
            "",
        ]
        for (state, trigger), where in ((pair, elsewhere.get(pair, "")) for pair in TRANSITIONS):
            count = self.moves[state, trigger]
            lines.append(f"{count:>8} {state.name} + {trigger.name}" + (f"  ({where})" if where else ""))
        if self.pairs:
            rarest, count = min(self.pairs.items(), key=lambda item: item[1])
            seldom = f"{' and '.join(rarest)} least often, {count} times"
            lines += ["", f"{len(self.pairs)} pairs of kinds of faults came together in a history: {seldom}"]
        return "\n".join(lines)
