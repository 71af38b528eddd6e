"""Take the census with all workers, then with one, and compare: `python -m examples.stdlib_census [WORKERS]`."""

import os
import platform
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from examples.stdlib_census import report
from examples.stdlib_census.parsing import ModuleCensus, Taken, take
from scaler import Client, SchedulerClusterCombo, as_completed

ROOT = Path(sysconfig.get_path("stdlib"))
INSTALLED = {"site-packages", "dist-packages"}
BAR_WIDTH = 30


@dataclass(frozen=True)
class Run:
    """One whole census, and how well the workers were used."""

    workers: int
    censuses: list[ModuleCensus]
    seconds: float
    busy_s: float

    @property
    def utilisation(self) -> float:
        """Seconds within tasks over seconds there were."""
        return self.busy_s / (self.seconds * self.workers)


class Progress:
    """How far we are: one line that is drawn over on a terminal, a line each tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = -1
        self._redraws = sys.stdout.isatty()

    def show(self, done: int) -> None:
        """Print when there is something new to see."""
        step = done * 100 // self._total
        if step == self._shown or not (self._redraws or step % 10 == 0):
            return
        self._shown = step
        filled = BAR_WIDTH * done // self._total
        line = f"  [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {step:3} %  {done:,} of {self._total:,} files"
        end = "\r" if self._redraws and done < self._total else "\n"
        print(line, end=end, flush=True)


def library_files() -> list[str]:
    """Every source file of the standard library, its tests too; what was installed into it is left out."""
    return sorted(str(path) for path in ROOT.rglob("*.py") if not INSTALLED & set(path.parts))


def take_census(files: list[str], workers: int, command_began: float | None = None) -> Run:
    """Start scheduler and workers, and have every file read; `command_began` is when to count the first result from."""
    print(f"\n{workers} {'worker' if workers == 1 else 'workers'}:", flush=True)
    with SchedulerClusterCombo(n_workers=workers) as cluster, Client(address=cluster.get_address()) as client:
        client.submit(abs, -1).result()  # the clock starts when a worker is there
        progress = Progress(len(files))
        started = time.perf_counter()
        futures = [client.submit(take, file, str(ROOT)) for file in files]
        taken: list[Taken] = []
        for future in as_completed(futures):
            taken.append(future.result())
            if len(taken) == 1 and command_began is not None:
                show_first(taken[0].census, time.time() - command_began)
            progress.show(len(taken))
        seconds = time.perf_counter() - started
    return Run(workers, [one.census for one in taken], seconds, sum(one.seconds for one in taken))


def show_first(census: ModuleCensus, seconds: float) -> None:
    """The first result of the whole demonstration."""
    found = f"lines: {census.lines:,}, classes: {census.classes}, functions: {census.functions}"
    print(f"  first result {seconds:.1f} s after the command: {census.module} ({found})", flush=True)


def show_times(runs: list[Run]) -> None:
    """Time and utilisation of each run, and how much faster many workers are than one."""
    rows = [
        (
            f"{run.workers} {'worker' if run.workers == 1 else 'workers'}",
            f"{run.seconds:.2f}",
            f"{len(run.censuses) / run.seconds:,.0f}",
            f"{run.utilisation:.0%}",
        )
        for run in runs
    ]
    print(report.aligned(("Time", "seconds", "files/s", "utilisation"), rows))
    print(f"\nspeed-up {runs[-1].seconds / runs[0].seconds:.2f}")


def began() -> float:
    """When this command was started, on the wall clock, imports included."""
    with open("/proc/self/stat", encoding="utf-8") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Exit status 0 if both censuses say the same."""
    command_began = began()
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else max(2, len(os.sched_getaffinity(0)))
    files = library_files()
    megabytes = sum(Path(file).stat().st_size for file in files) / 1e6
    print(f"The standard library of Python {platform.python_version()}: {len(files):,} files, {megabytes:.1f} MB")
    many = take_census(files, workers, command_began)
    text = report.tables(many.censuses)
    print(f"\n{text}", flush=True)
    one = take_census(files, 1)
    print()
    show_times([many, one])
    if report.tables(one.censuses) != text:
        print("the two censuses differ, which must not be", file=sys.stderr)
        return 1
    print("both censuses say the same")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
