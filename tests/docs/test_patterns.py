"""The patterns are run as users run them, and the figures they print are those of the documents they come from.

The bars in seconds are the documents' own. Tasks that sleep keep them on a busy machine too; where much is computed or
imported, the form the standard library or NumPy has for the same thing is the measure, in the same run.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.processes import Place, own_place

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = sorted(path.stem for path in (ROOT / "examples/patterns").glob("*_*.py"))
LIMIT_S = 110.0


@pytest.fixture(autouse=True)
def place() -> Iterator[Place]:
    with own_place() as place:
        yield place


@dataclass(frozen=True)
class Printed:
    """What a program has printed."""

    text: str

    def numbers(self, pattern: str) -> list[float]:
        """The numbers in the line that has this pattern, one for each of its groups."""
        match = re.search(pattern, self.text, re.MULTILINE)
        assert match, f"no {pattern!r} in {self.text}"
        return [float(group.replace(",", "")) for group in match.groups()]

    def number(self, pattern: str) -> float:
        """The only one."""
        (number,) = self.numbers(pattern)
        return number

    def lines(self) -> list[str]:
        return self.text.splitlines()


def start(name: str, *arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", f"examples.{name}", *arguments]
    return subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str], said: str = "") -> Printed:
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, said), out
    return Printed(out)


def run(name: str, *arguments: str) -> Printed:
    return finish(start(name, *arguments))


@pytest.fixture(scope="module")
def sleepers() -> Iterator[dict[str, Printed]]:
    """Two patterns that do little but sleep, at once: one is in haste at its beginning, the other at its end."""
    with own_place():
        started = {name: start(f"patterns.{name}") for name in ("lesson_one_machine", "article_map")}
        yield {name: finish(process) for name, process in started.items()}


FORM = r": ([\d.]+) s, different outputs: (\d+), in the order "


# ---- the lesson


@pytest.mark.alone
def test_ten_tasks_take_9_s_one_by_one_and_a_fifth_of_it_in_threads_that_share_their_numbers(
    sleepers: dict[str, Printed],
):
    printed = sleepers["lesson_one_machine"]
    one_by_one, in_threads, in_processes = (
        printed.numbers(form + FORM) for form in ("for-loop", "threads", "processes")
    )
    assert one_by_one[0] >= 9.0
    assert 1.8 <= in_threads[0] <= 3.0
    assert (one_by_one[1], in_threads[1]) == (1, 1)
    assert in_processes[1] > 1
    assert sorted(printed.lines()[2].split()[-10:]) == sorted("0123456789")


@pytest.mark.alone
def test_a_cluster_is_a_pool_of_threads_or_of_processes_or_a_mixture(sleepers: dict[str, Printed]):
    """Ten processes have to import NumPy, which is work: no more than the standard library's own pool of them takes."""
    printed = run("patterns.lesson_cluster")
    shapes = {form: printed.numbers(f"^{form}{FORM}") for form in ("1 x 10", "10 x 1", "2 x 5")}
    allowed_s = max(3.0, sleepers["lesson_one_machine"].numbers("processes" + FORM)[0])
    assert all(1.8 <= seconds <= allowed_s for seconds, _ in shapes.values()), printed
    assert shapes["1 x 10"][1] == 1
    assert 2 < shapes["10 x 1"][1] <= 10
    assert shapes["2 x 5"][1] == 2


def drawn(printed: Printed, name: str) -> tuple[list[str], int]:
    """The labels of the nodes of a picture, and how many lines there are between them."""
    folder = Path(re.findall(r"drawn in (\S+)", printed.text)[0])
    picture = ElementTree.parse(folder if folder.suffix else folder / name).getroot()  # noqa: S314  # drawn just now
    tags = [(element.tag.rpartition("}")[2], element.text) for element in picture]
    return sorted(str(text) for tag, text in tags if tag == "text"), sum(tag == "path" for tag, _ in tags)


def test_a_graph_of_delayed_calls_has_its_picture_and_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    printed = run("patterns.lesson_graph")
    assert printed.lines()[-1] == "result: 15"
    assert drawn(printed, "") == (["add", "increment", "increment"], 2)


def test_a_pipeline_of_arrays_is_the_same_optimised_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    printed = run("patterns.lesson_arrays")
    assert printed.lines()[-2:] == ["equal: True", "they solve the equation: True"]
    plain, optimised = printed.numbers(r"^(\d+) nodes, (\d+) when optimised")
    assert plain > 2 * optimised
    labels, lines = drawn(printed, "compute_graph_quadratic_formula.svg")
    assert len(labels) == plain
    assert lines >= plain - 4
    assert len(drawn(printed, "compute_graph_quadratic_formula__optimized.svg")[0]) == optimised


@pytest.mark.alone
def test_the_mean_of_200_million_points_is_there_sooner_on_two_workers_than_by_numpy_alone():
    """Where NumPy had no processor to itself there were no two for the workers: what they used counts then."""
    printed = run("patterns.lesson_large_mean")
    assert printed.lines()[0] == "200,000,000 points in 17 layers and 100 chunks"
    mean, seconds = printed.numbers(r"^2 workers: mean (\S+) in ([\d.]+) s")
    alone, alone_s = printed.numbers(r"^NumPy alone: mean (\S+) in ([\d.]+) s")
    assert mean == pytest.approx(alone, abs=2e-6)
    used_s, largest = printed.numbers(r"^  ([\d.]+) s of a processor in all, no process over (\d+) MB$")
    assert largest < 500  # of the 4,800 that the numbers take
    alone_used_s = printed.number(r"^  ([\d.]+) s of a processor$")
    is_busy = alone_used_s < 0.9 * alone_s
    assert seconds < alone_s or (is_busy and used_s / 2 < alone_used_s), printed


# ---- the article


@pytest.mark.alone
def test_ten_items_of_a_second_take_three_on_four_workers(sleepers: dict[str, Printed]):
    printed = sleepers["article_map"]
    squares = [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
    assert printed.lines()[0].endswith(str(squares))
    assert printed.lines()[1] == "equal: True"
    assert 3.0 <= printed.number(r"^distributed: ([\d.]+) s") <= 3.3
    assert 10.0 <= printed.number(r"^sequential: ([\d.]+) s") <= 11.0


def test_the_sum_of_squares_is_385_reduced_here_or_there():
    assert run("patterns.article_map_reduce").lines() == ["sum of squares: 385", "by a tree of futures: 385"]


def test_tasks_are_sent_off_and_asked_for_later_and_chained():
    printed = run("patterns.article_task_queue")
    assert printed.lines()[:3] == ["4 + 6 = 10", "3 * 5 = 15", "(2 + 2) * 4 = 16"]
    assert 2.0 <= printed.number(r"^four tasks of a second in ([\d.]+) s") <= 3.0


def test_slow_calls_run_at_once_and_quick_ones_by_the_batch():
    printed = run("patterns.article_remote_functions")
    assert printed.lines()[0] == "results: [0, 1, 4, 9]"
    assert 1.0 <= printed.number(r"^in ([\d.]+) s") <= 2.0
    assert printed.lines()[2] == "batches: [[1, 4, 9], [16, 25, 36], [49, 64, 81]]"


def test_arrays_and_frames_are_what_numpy_and_pandas_say():
    printed = run("patterns.article_arrays_and_frames")
    assert printed.number(r"^array mean: ([\d.]+), as NumPy says: True$") == pytest.approx(1, abs=0.01)
    assert printed.number(r"^frame mean: ([\d.]+), as pandas says: True$") == pytest.approx(0.5, abs=0.05)


def test_many_files_are_summed_by_category_where_they_are_read():
    printed = run("patterns.article_csv_pipeline")
    sums = {name: printed.number(rf"^{name} +(\d+)$") for name in ("books", "garden", "music", "toys")}
    total, rows, files = printed.numbers(r"^([\d,]+) in ([\d,]+) rows of (\d+) files$")
    assert (sum(sums.values()), rows, files) == (total, 120_000, 24)
    assert printed.lines()[-1] == "the same by hand: True"


def test_a_grid_search_prints_its_best_configuration():
    lines = run("patterns.article_grid_search").lines()
    assert lines[-2:] == [
        "best configuration: {'learning_rate': 0.01, 'momentum': 0.9, 'steps': 200}",
        "the same one by one: True",
    ]


def test_a_crawl_goes_on_where_pages_are_missing_or_silent():
    assert run("patterns.article_crawl").lines() == [
        "88 pages read, 91 links, first title 'Page 1'",
        "/page13: HTTP Error 404: Not Found",
        "/page42: timed out",
        "/page57: HTTP Error 404: Not Found",
        "/page91: HTTP Error 404: Not Found",
    ]


def test_what_fails_is_tried_again_after_pauses_that_double():
    lines = run("patterns.article_retries").lines()
    done = dict(line.split("; attempts: ") for line in lines)
    assert {said: attempts.split(",")[0] for said, attempts in done.items()} == {
        "item 1 done": "1",
        "item 2 done": "2",
        "item 4 done": "4",
        "given up: item 9 failed 4 times": "4",
    }
    for said in ("item 4 done", "given up: item 9 failed 4 times"):
        pauses = [float(pause) for pause in done[said].partition("in s: ")[2].split()]
        # they are printed to a hundredth
        assert all(pause >= 0.75 * 0.2 * 2**times - 0.006 for times, pause in enumerate(pauses)), lines
        assert len(pauses) == 3


def test_the_time_of_each_item_is_known_to_its_future_too():
    printed = run("patterns.article_timing")
    average = printed.number(r"^average time per item: ([\d.]+) s")
    assert average >= 0.1
    assert printed.number(r"^average as the futures tell: ([\d.]+) s") == pytest.approx(average, abs=0.05)
    assert printed.number(r"s: ([\d.]+) at once$") > 1.5
    assert printed.lines()[-1] == "workers: 4"


def test_results_are_returned_and_lists_are_not_shared():
    assert run("patterns.article_results_returned").lines() == [
        "in the shared list: 0",
        "returned: 100 of which the last is 9801",
    ]


def test_lambdas_and_closures_are_sent():
    printed = run("patterns.article_lambdas")
    assert printed.lines()[:3] == [
        "a pool of processes takes no lambda",
        f"lambda: {[number**2 for number in range(10)]}",
        f"closure: {list(range(100, 110))}",
    ]
    assert printed.number(r"^10,000 quick calls: 50,005,000 in ([\d.]+) s") < 10  # as long as the shortest worth a task


# ---- the quickstart


def test_many_calls_at_once():
    assert run("map_client").lines() == ["roots: [1.0, 2.0, 3.0]", "powers: [1, 1, 4, 27, 256]", "pi is about 3.143"]


def test_one_call_at_a_time():
    lines = run("simple_client").lines()
    assert lines[:2] == ["1,000,003 is prime: True", "primes from 2,000,000 on: [2000003]"]
    assert lines[2].startswith("is 'seven' prime? TypeError(")


def test_what_a_heavy_function_carries_is_sent_once_and_its_user_is_told():
    hint = (
        "scaler: calls of lookup carry the same 10 MB again and again, which are sent once: client.map(lookup, …) "
        "makes all calls at once, and what client.send_object(…) returns can be passed in their place\n"
    )
    printed = finish(start("patterns.quickstart_what_not_to_do"), hint)
    for form in ("map", "submit"):
        assert 1 <= printed.number(rf"^{form}: right True, copies of the table (\d)$") <= 3


def test_scheduler_and_workers_in_terminals_of_their_own():
    lines = run("patterns.quickstart_two_terminals").lines()
    assert sum(bool(re.search(r"^\[INFO\].*: Worker\[\d\] started", line)) for line in lines) == 10
    assert lines[-1] == "results == tasks: True"


# ---- all of them


def test_a_pattern_uses_the_scheduler_whose_address_it_is_given(place: Place):
    _, address = place.scheduler()
    place.cluster(address, 1)
    assert run("patterns.article_timing", address).lines()[-1] == "workers: 1"


def test_every_pattern_is_run_here():
    source = Path(__file__).read_text(encoding="utf-8")
    runnable = [name for name in PATTERNS if name not in {"__init__", "lesson_quadratic"}]
    assert [name for name in runnable if f'"patterns.{name}"' not in source and f'"{name}"' not in source] == []
