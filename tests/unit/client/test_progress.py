"""Which bar is shown where, and what it says."""

import re
import sys
import threading
import types
from typing import Any

import pytest

from scaler.client import progress
from scaler.client.progress import Tally, check_progress, expected, follow, is_notebook, shown
from scaler.errors import ConfigurationError


class Terminal:
    """A stderr that somebody looks at, or not."""

    encoding = "utf-8"

    def __init__(self, *, is_terminal: bool) -> None:
        self.text = ""
        self._is_terminal = is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """All is there."""

    def isatty(self) -> bool:
        return self._is_terminal


class Notebook(types.ModuleType):
    """IPython in the kernel of a notebook."""

    def get_ipython(self) -> Any:
        return types.SimpleNamespace(config={"IPKernelApp": {}})


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called in the test itself: pytest puts a stderr of its own before each."""
    found = Terminal(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    return found


def file(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", found)
    return found


def notebook(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setitem(sys.modules, "IPython", Notebook("IPython"))
    for name in [name for name in sys.modules if name.startswith("tqdm.auto")]:
        monkeypatch.delitem(sys.modules, name)
    return file(monkeypatch)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(progress, "_is_installed", lambda package: package not in packages)


def show(wish: progress.ProgressWish, *tallies: Tally) -> None:
    """A bar that is shown all of these at least, the last of them when it closes."""
    left = list(tallies)
    with shown(wish, "step", lambda: left.pop(0) if len(left) > 1 else left[0]):
        for _ in range(10_000):
            if len(left) == 1:
                break
            threading.Event().wait(0.001)


def test_nothing_is_shown_if_nobody_asks_or_nobody_looks(monkeypatch: pytest.MonkeyPatch):
    seen = terminal(monkeypatch)
    show(False, Tally(1, 0, 2))  # as users say it
    assert seen.text == ""
    monkeypatch.setattr(sys, "stderr", None)
    show(True, Tally(1, 0, 2))  # as users say it
    assert follow("plain", "step", lambda: Tally(0, 0, None), lambda _: True) is not None


def test_a_file_gets_text_only_if_that_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    seen = file(monkeypatch)
    show(True, Tally(1, 0, 2))  # as users say it
    assert seen.text == ""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    show("plain", Tally(500, 0, 1000), Tally(1000, 2, 1000))
    first, *_, last = seen.text.splitlines()
    assert first == "step: 500 of 1,000 done (50%)"
    assert last == "step: 1,000 of 1,000 done (100%), 2 failed"


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch):
    seen = file(monkeypatch)
    show("plain", Tally(1, 0, None), Tally(2, 0, None), Tally(0, 0, 0))
    assert seen.text == "step: 0 of 0 done (100%)\n"


def test_a_terminal_gets_a_bar_of_rich(monkeypatch: pytest.MonkeyPatch):
    seen = terminal(monkeypatch)
    show(True, Tally(1, 1, 2), Tally(2, 1, 2))  # as users say it
    assert "━" in seen.text
    assert re.search(r"2/2.*1 failed", seen.text)
    assert "step" in seen.text


def test_or_of_tqdm_or_text_where_that_is_missing(monkeypatch: pytest.MonkeyPatch):
    seen = terminal(monkeypatch)
    without(monkeypatch, "rich")
    show(True, Tally(1, 1, 2), Tally(2, 1, 2))  # as users say it
    assert "step: 100%" in seen.text
    assert "failed=1" in seen.text
    without(monkeypatch, "rich", "tqdm")
    seen.text = ""
    show(True, Tally(1, 0, 2), Tally(2, 0, 2))  # as users say it
    assert seen.text.endswith("\rstep: 2 of 2 done (100%)\n")
    assert seen.text.startswith("\rstep: 1 of 2 done (50%)\r")


@pytest.mark.filterwarnings("ignore:IProgress not found")
def test_a_notebook_gets_a_bar_of_tqdm(monkeypatch: pytest.MonkeyPatch):
    seen = notebook(monkeypatch)
    assert is_notebook()
    show(True, Tally(1, 0, 2), Tally(2, 0, 2))  # as users say it
    assert "step: 100%" in seen.text


def test_or_text_where_that_is_missing(monkeypatch: pytest.MonkeyPatch):
    seen = notebook(monkeypatch)
    without(monkeypatch, "tqdm")
    show(True, Tally(2, 0, 2))  # as users say it
    assert seen.text.endswith("\rstep: 2 of 2 done (100%)\n")


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace(config={})])
def test_a_shell_of_ipython_is_no_notebook(shell: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert not is_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not is_notebook()


def test_a_kind_may_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch):
    seen = file(monkeypatch)
    show("tqdm", Tally(1, 0, 2), Tally(2, 0, 2))
    assert "step: 100%" in seen.text
    seen.text = ""
    show("rich", Tally(2, 0, 2))
    assert "2/2" in seen.text


def test_a_kind_whose_package_is_missing_is_refused_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, "rich")
    for wish in (True, False, "plain", "tqdm"):
        check_progress(wish)
    with pytest.raises(ConfigurationError, match=r"progress='rich' needs that .* 'scaler\[progress\]'"):
        check_progress("rich")
    for wish in ("bar", 1, None):
        with pytest.raises(ConfigurationError, match="progress is True, False, or one of 'plain', 'rich', "):
            check_progress(wish)


def test_how_many_there_will_be_is_known_of_what_has_a_length():
    assert expected(([1, 2, 3],)) == 3
    assert expected(([1, 2, 3], range(2))) == 2
    assert expected(([1, 2], iter(()))) in (0, None)
    assert expected(number for number in range(3)) is None
    assert expected(([1, 2], (number for number in range(3)))) is None


def test_a_follower_ends_by_itself_when_all_is_over(monkeypatch: pytest.MonkeyPatch):
    seen = file(monkeypatch)
    over = threading.Event()
    thread = follow("plain", "step", lambda: Tally(3, 0, 3), over.wait)
    over.set()
    assert thread is not None
    thread.join(10)
    assert seen.text == "step: 3 of 3 done (100%)\n"


def test_a_stderr_that_is_closed_disturbs_nobody(monkeypatch: pytest.MonkeyPatch):
    class Closed(Terminal):
        def isatty(self) -> bool:
            raise ValueError("I/O operation on closed file")

        def write(self, text: str) -> int:
            raise ValueError(text)

    monkeypatch.setattr(sys, "stderr", Closed(is_terminal=True))
    show(True, Tally(1, 0, 2))  # as users say it
    show("plain", Tally(1, 0, 2))


def screen(text: str) -> list[str]:
    """The lines that a terminal shows at the end: of its letters that move, those that bars need."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.|\n", text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row - len(lines) + 1)
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.endswith("A") and part[0] == "\x1b":
            row -= int(part[2:-1] or 1)
        elif part[0] != "\x1b":
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("kind", ["plain", "rich", "tqdm"])
def test_what_is_written_aside_stands_above_the_bar(monkeypatch: pytest.MonkeyPatch, kind: str):
    seen = terminal(monkeypatch)
    has_begun, over = threading.Event(), threading.Event()

    def tally() -> Tally:
        has_begun.set()
        return Tally(1, 0, 2)

    thread = follow(kind, "step", tally, over.wait)
    assert thread is not None
    has_begun.wait(10)
    for number in range(3):
        with progress.aside():
            seen.write(f"hello {number}\n")
    over.set()
    thread.join()
    *above, bar = screen(seen.text)
    assert above == ["hello 0", "hello 1", "hello 2"]
    assert bar.startswith("step")
