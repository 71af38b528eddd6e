"""`progress=True`: a bar on stderr, drawn by a thread of its own from counters that others keep.

Notebooks get tqdm's bar, terminals rich's or tqdm's; where neither is installed, or "plain" is asked for, it is text.
Where nobody looks, such as a file, nothing is shown unless it was asked for by name.
"""

import contextlib
import importlib.util
import operator
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from scaler.errors import ConfigurationError

#: what users say: whether a bar is wanted, or of which kind
ProgressWish = bool | str
KINDS = ("plain", "rich", "tqdm")
EVERY_S = 0.1
#: text that cannot be overwritten comes less often
LINE_EVERY_S = 5.0


class Tally(NamedTuple):
    """How many tasks are done, how many of them failed, and how many there are, if that is known."""

    done: int
    failed: int
    total: int | None


class Bar(Protocol):
    """Shows tallies."""

    def show(self, tally: Tally) -> None:
        """The latest."""
        ...

    def hide(self) -> None:
        """Leave the line it is in to others."""
        ...

    def back(self) -> None:
        """Be there again, below what they wrote."""
        ...

    def close(self, tally: Tally) -> None:
        """The last."""
        ...


class _Plain:
    """Text: one line that is written over, or lines now and then."""

    def __init__(self, name: str, *, is_rewritten: bool) -> None:
        self._name = name
        self._is_rewritten = is_rewritten
        self._next_at = time.monotonic() + (0 if is_rewritten else LINE_EVERY_S)
        #: what stands in the line that is written over
        self._text = ""

    def show(self, tally: Tally) -> None:
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + (EVERY_S if self._is_rewritten else LINE_EVERY_S)
            self._write(tally, "" if self._is_rewritten else "\n")

    def hide(self) -> None:
        if self._text:
            self._print(f"\r{' ' * len(self._text)}\r", "")

    def back(self) -> None:
        if self._text:
            self._print(self._text, "")

    def close(self, tally: Tally) -> None:
        self._write(tally, "\n")

    def _write(self, tally: Tally, end: str) -> None:
        text = f"{self._name}: {tally.done:,} done"
        if tally.total is not None:
            share = tally.done / tally.total if tally.total else 1
            text = f"{self._name}: {tally.done:,} of {tally.total:,} done ({share:.0%})"
        text += f", {tally.failed:,} failed" if tally.failed else ""
        self._print(f"\r{text.ljust(len(self._text))}" if self._is_rewritten else text, end)
        self._text = "" if end else text

    @staticmethod
    def _print(text: str, end: str) -> None:
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201  # for the user


class _Rich:
    """rich's bar, drawn only when told."""

    def __init__(self, name: str) -> None:
        from rich.console import Console  # noqa: PLC0415  # an extra
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  # an extra

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(name, total=None, failed="")
        self._progress.start()

    def show(self, tally: Tally) -> None:
        failed = f"{tally.failed:,} failed" if tally.failed else ""
        self._progress.update(self._task, completed=tally.done, total=tally.total, failed=failed, refresh=True)

    def hide(self) -> None:
        if self._progress.console.is_terminal:
            self._progress.stop()

    def back(self) -> None:
        self._progress.start()

    def close(self, tally: Tally) -> None:
        self.show(tally)
        self._progress.live.transient = False  # the last stays
        self._progress.stop()


class _Tqdm:
    """tqdm's bar, a widget where it finds a notebook."""

    def __init__(self, name: str) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415  # an extra

        self._bar = tqdm(desc=name, file=sys.stderr, unit="task")

    def show(self, tally: Tally) -> None:
        self._bar.total = tally.total
        self._bar.n = tally.done
        if tally.failed:
            self._bar.set_postfix(failed=tally.failed, refresh=False)
        self._bar.refresh()

    def hide(self) -> None:
        self._bar.clear()

    def back(self) -> None:
        self._bar.refresh()

    def close(self, tally: Tally) -> None:
        self.show(tally)
        self._bar.close()


def check_progress(progress: object) -> None:
    """`ConfigurationError` unless it is True, False or the name of a kind whose package is there."""
    if isinstance(progress, bool):
        return
    if progress not in KINDS:
        raise ConfigurationError(
            f"progress is True, False, or one of {', '.join(map(repr, KINDS))}, not {progress!r:.50}"
        )
    if progress != "plain" and not _is_installed(str(progress)):
        raise ConfigurationError(f"progress={progress!r} needs that package: pip install 'scaler[progress]'")


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _bar(progress: ProgressWish, name: str) -> Bar | None:
    notebook, terminal = is_notebook(), _is_terminal()
    if progress is True:
        if not notebook and not terminal:
            return None
        wishes = ("tqdm",) if notebook else ("rich", "tqdm")
        progress = next((wish for wish in wishes if _is_installed(wish)), "plain")
    if progress == "plain":
        return _Plain(name, is_rewritten=notebook or terminal)
    return _Rich(name) if progress == "rich" else _Tqdm(name)


def expected(iterables: Iterable[Any]) -> int | None:
    """How many elements there will be, where the iterables say so."""
    hints = [operator.length_hint(iterable, -1) for iterable in iterables]
    return min(hints) if hints and min(hints) >= 0 else None


def follow(
    progress: ProgressWish,
    name: str,
    tally: Callable[[], Tally],
    over: Callable[[float], bool],
) -> threading.Thread | None:
    """Show a bar, if one is to be seen here, until `over`, which waits so many seconds, says so."""
    bar = _bar(progress, name) if progress else None
    if bar is None:
        return None
    thread = threading.Thread(target=_follow, args=(bar, tally, over), name="scaler-progress", daemon=True)
    thread.start()
    return thread


def _follow(bar: Bar, tally: Callable[[], Tally], over: Callable[[float], bool]) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stderr that is closed
        try:
            while not over(EVERY_S):
                with _drawing():
                    _bars[bar] = None
                    bar.show(tally())
        finally:
            _bars.pop(bar, None)
        with _drawing():
            bar.close(tally())


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Whatever is written within it stands above the bars."""
    with _drawing():
        bars = list(_bars)
        for bar in bars:
            _try(bar.hide)
        yield
        for bar in bars:
            if bar in _bars:
                _try(bar.back)


def _try(draw: Callable[[], None]) -> None:
    with contextlib.suppress(OSError, ValueError):  # as above
        draw()


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """One at a time, but for what a terminal that stands still holds up, or a fork has left locked."""
    has_turn = _turn.acquire(timeout=EVERY_S)
    try:
        yield
    finally:
        if has_turn:
            _turn.release()


_turn = threading.Lock()
#: those that are seen
_bars: dict[Bar, None] = {}


@contextlib.contextmanager
def shown(progress: ProgressWish, name: str, tally: Callable[[], Tally]) -> Iterator[None]:
    """Show a bar, if one is to be seen here, while the block runs."""
    over = threading.Event()
    thread = follow(progress, name, tally, over.wait)
    try:
        yield
    finally:
        over.set()
        if thread is not None:
            thread.join()
