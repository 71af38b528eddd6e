import importlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scaler.errors import SerializationError
from scaler.ids import TicketId, WorkerId
from scaler.payload.calls import pickle_call, single_column
from scaler.payload.functions import pickle_function
from scaler.protocol import BatchOptions
from scaler.worker.agent_events import (
    Give,
    Harvested,
    Interrupt,
    KillWorker,
    Limit,
    Look,
    RetireWorker,
    SlotView,
    StartWorker,
    TakeBack,
    TookBack,
    WorkerEnded,
    WorkerStarted,
)
from tests.integration.worker_driver import BATCH, RUN, Driver

WORKER = WorkerId(0)
SLEEP = ["/bin/sleep", "1000"]


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver(dict(os.environ))
    yield made
    made.close()


def double(number: int) -> int:
    return 2 * number


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_dead(*pids: int) -> None:
    until = time.monotonic() + 5
    while any(map(alive, pids)):
        assert time.monotonic() < until, [pid for pid in pids if alive(pid)]
        time.sleep(0.01)


# ---- running


def test_results_come_back_in_order_and_the_slot_says_where_it_ended(driver: Driver):
    driver.start()
    driver.define(double)
    ticket = driver.give(double, [(n,) for n in range(100)], lo=1000)
    assert driver.values(100) == [(1000 + n, 2 * n) for n in range(100)]
    driver.wait(lambda: driver.of(Harvested)[-1].slots[0].ended_ticket == ticket)
    assert driver.of(Harvested)[-1].slots == (SlotView(TicketId(0), 0, 0.0, ticket, 1100),)
    driver.wait(lambda: driver.workers.next_look() is None)


def test_many_results_of_many_sizes_go_around_the_ring(driver: Driver):
    def text(size: int) -> str:
        return "x" * size

    sizes = random.Random(5).choices([0, 10, 1000, 50_000, 200_000], weights=[50, 50, 10, 2, 1], k=5000)
    driver.start()
    driver.define(text)
    for lo in range(0, 5000, 500):
        driver.give(text, [(size,) for size in sizes[lo : lo + 500]], lo=lo)
    assert driver.values(5000) == [(index, "x" * size) for index, size in enumerate(sizes)]


def test_more_small_results_than_the_ring_has_entries_lose_none(driver: Driver):
    driver.start()
    driver.define(double)
    for lo in range(0, 40_000, 2000):
        driver.give(double, [(n,) for n in range(lo, lo + 2000)], lo=lo)
    time.sleep(0.1)
    assert driver.values(40_000) == [(n, 2 * n) for n in range(40_000)]


def test_large_arguments_and_results_pass_whole_between_small_ones(driver: Driver):
    def same(value: bytes) -> bytes:
        return value

    driver.start()
    calls = [(b"a",), (bytes(5_000_000),), (b"b",), (b"c" * 300_000,), (b"d",)]
    assert [outcome.value for outcome in driver.run(same, calls)] == [value for (value,) in calls]
    values = [piece.column.data for event in driver.of(Harvested) for piece in event.pieces]
    assert max(len(frame) for frames in values for frame in frames) <= 1 << 20
    (large,) = (frames for frames in values if len(frames) > 1)
    assert len({id(frame.obj) for frame in large if isinstance(frame, memoryview)}) == 1


def test_a_result_that_no_message_has_room_for_fails_its_task_alone(driver: Driver):
    def allow(size: int) -> None:
        setattr(importlib.import_module("scaler.payload.values"), "MAX_VALUE_BYTES", size)  # noqa: B010  # of this worker

    driver.start()
    driver.run(allow, [(100_000,)])
    fine, large, after = driver.run(bytes, [(90_000,), (100_000,), (1,)])
    assert (fine.value, after.value) == (bytes(90_000), bytes(1))
    assert isinstance(large.error, SerializationError)
    assert "the result of the task has 100,0" in str(large.error)


def test_whatever_a_task_raises_is_its_result_and_the_worker_goes_on(driver: Driver):
    def fail(kind: type[BaseException]) -> None:
        raise kind("no")

    driver.start()
    kinds = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit]
    outcomes = driver.run(fail, [(kind,) for kind in kinds])
    assert [(type(outcome.error), str(outcome.error)) for outcome in outcomes] == [(kind, "no") for kind in kinds]
    note = getattr(outcomes[0].error, "__notes__", [""])[-1]
    assert note.startswith("in task 0000000000000007-3-0 (")
    assert note.endswith("on here, worker 0, attempt 1")
    assert [outcome.value for outcome in driver.run(double, [(4,)])] == [8]


def test_keywords_reach_the_function(driver: Driver):
    driver.start()
    driver.define(sorted)
    column = single_column(0, pickle_call(([3, 1, 2],), {"reverse": True}))
    driver.tell(Give(WORKER, TicketId(1), RUN, pickle_function(sorted).id, BatchOptions(), column, BATCH))
    assert driver.values(1) == [(0, [3, 2, 1])]


def test_a_function_that_cannot_be_loaded_fails_each_task_by_name(driver: Driver):
    code = "import scaler_no_such_module"
    driver.start()

    def load() -> None:
        exec(code)  # noqa: S102  # imports where it runs

    outcomes = driver.run(load, [(), ()])
    assert [type(outcome.error) for outcome in outcomes] == [ModuleNotFoundError] * 2


def test_time_and_memory_of_long_tasks_are_measured_and_of_short_ones_not(driver: Driver):
    driver.start()
    driver.run(time.sleep, [(0.0,), (0.02,), (0.0,)])
    found = []
    for column in [piece.column for event in driver.of(Harvested) for piece in event.pieces]:
        costs = memoryview(column.costs or bytes(8 * column.count)).cast("I").tolist()
        found += zip(memoryview(column.run_us).cast("I").tolist(), costs[::2], costs[1::2], strict=True)
    run_us, cpu_us, memory = found[1]
    assert 20_000 <= run_us < 1_000_000
    assert cpu_us < 20_000
    assert memory > 1000
    assert [(cpu_us, memory) for run_us, cpu_us, memory in found if run_us < 1000 and (cpu_us or memory)] == []


def test_a_result_is_not_stuck_behind_a_long_task(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    begun = time.monotonic()
    driver.give(time.sleep, [(0.0,), (0.02,), (0.0,), (3.0,)])
    assert [index for index, _ in driver.values(3)] == [0, 1, 2]
    assert time.monotonic() - begun < 1.0


def test_workers_do_not_share_their_chance(driver: Driver):
    def draw() -> float:
        return random.random()

    driver.start(0)
    driver.start(1)
    for worker in (0, 1):
        driver.define(draw, worker)
        driver.give(draw, [()], worker=worker, lo=worker)
    (_, first), (_, second) = driver.values(2)
    assert first != second


def test_standard_input_is_empty_and_threads_are_limited_to_the_slots(driver: Driver):
    def surroundings() -> tuple[str, str, bool]:
        return sys.stdin.read(), os.environ["OMP_NUM_THREADS"], os.getsid(0) == os.getpid()

    driver.start()
    assert driver.run(surroundings, [()])[0].value == ("", "1", True)


def test_a_process_that_a_task_forks_off_and_forgets_does_no_harm(driver: Driver):
    def fork() -> bool:
        return os.fork() > 0

    driver.start()
    assert [outcome.value for outcome in driver.run(fork, [(), ()])] == [True, True]
    assert driver.run(double, [(1,)])[0].value == 2


# ---- slots


def test_slots_of_one_worker_run_side_by_side_and_share_its_functions():
    driver = Driver(dict(os.environ), threads=3)
    try:
        driver.start()
        driver.define(time.sleep)
        begun = time.monotonic()
        for lo in range(3):
            driver.give(time.sleep, [(0.4,)], lo=lo)
        assert sorted(index for index, _ in driver.values(3)) == [0, 1, 2]
        assert time.monotonic() - begun < 1.1
        for lo in range(0, 3000, 10):
            if lo == 1500:
                driver.define(double)
            function = time.sleep if lo < 1500 else double
            driver.give(function, [(0,)] * 10, lo=lo + 3)
        assert sorted(index for index, _ in driver.values(3003)) == list(range(3003))
        driver.tell(RetireWorker(WORKER))
        assert driver.wait_for(WorkerEnded)[0].exit_code == 0
    finally:
        driver.close()


# ---- taking back, limits, interrupts


def test_unread_tickets_come_back_and_their_function_is_sent_again(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    first = driver.give(time.sleep, [(0.3,)])
    driver.wait(lambda: _runs(driver, first))
    driver.define(double)
    others = [driver.give(double, [(n,)], lo=n) for n in (1, 2)]
    assert driver.tell(TakeBack(WORKER)) == TookBack(WORKER, tuple(others))
    driver.give(double, [(3,)], lo=3)
    assert driver.values(2) == [(0, None), (3, 6)]


def _runs(driver: Driver, ticket: TicketId) -> bool:
    driver.tell(Look(WORKER))
    return driver.of(Harvested)[-1].slots[0].ticket == ticket


def test_more_tickets_than_the_line_holds_wait_and_come_back(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    first = driver.give(time.sleep, [(0.2,)])
    driver.wait(lambda: _runs(driver, first))
    driver.define(len)
    tickets = [driver.give(len, [(b"x" * 40_000,)], lo=n) for n in range(1, 41)]
    assert driver.tell(TakeBack(WORKER)) == TookBack(WORKER, tuple(tickets))
    again = [driver.give(len, [(b"x" * 40_000,)], lo=n) for n in range(1, 41)]
    assert len(again) == 40
    assert driver.values(41) == [(0, None)] + [(n, 40_000) for n in range(1, 41)]


def test_a_limit_stops_a_ticket_before_the_index(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    ticket = driver.give(time.sleep, [(0.2,), (0.0,), (0.0,), (0.0,)], lo=10)
    driver.wait(lambda: _runs(driver, ticket))
    driver.tell(Limit(WORKER, 0, ticket, 12))
    driver.wait(lambda: driver.of(Harvested)[-1].slots[0].ended_ticket == ticket)
    assert driver.of(Harvested)[-1].slots[0].ended_index == 12
    # the ring is emptied before the slot is looked at: what was finished in between comes with the next look
    driver.wait(lambda: len(driver.outcomes()) >= 2)
    assert [index for index, _ in driver.outcomes()] == [10, 11]
    assert driver.run(double, [(1,)])[0].value == 2


def test_an_interrupt_raises_in_the_task_it_is_meant_for_and_in_no_other(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    ticket = driver.give(time.sleep, [(0.1,), (60.0,), (0.0,)])
    driver.wait(lambda: _runs(driver, ticket))
    driver.tell(Interrupt(WORKER, 0, ticket, 2))
    driver.wait(lambda: _runs(driver, ticket) and driver.of(Harvested)[-1].slots[0].index == 1)
    driver.tell(Interrupt(WORKER, 0, ticket, 1))
    driver.wait(lambda: len(driver.outcomes()) >= 3)
    kinds = [type(outcome.error).__name__ for _, outcome in driver.outcomes()]
    assert kinds == ["NoneType", "Interrupted", "NoneType"]


# ---- ends


def test_a_worker_that_exits_in_a_task_leaves_what_it_finished_and_says_what_it_ran(driver: Driver):
    def leave(number: int) -> int:
        if number == 2:
            sys.stderr.write("last words\n")
            sys.stderr.flush()
            os._exit(7)
        return number

    driver.start()
    driver.define(leave)
    ticket = driver.give(leave, [(n,) for n in range(5)])
    unread = driver.give(leave, [(9,)], lo=9)
    (ended,) = driver.wait_for(WorkerEnded)
    assert [(index, outcome.value) for index, outcome in driver.outcomes()] == [(0, 0), (1, 1)]
    assert (ended.exit_code, ended.stderr, ended.unread) == (7, "last words\n", (unread,))
    assert (ended.slots[0].ticket, ended.slots[0].index) == (ticket, 2)


def test_a_worker_that_crashes_says_where_on_stderr(driver: Driver):
    def crash() -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    driver.start()
    driver.define(crash)
    driver.give(crash, [()])
    (ended,) = driver.wait_for(WorkerEnded)
    assert ended.exit_code == -signal.SIGSEGV
    assert "Segmentation fault" in ended.stderr
    assert "in crash" in ended.stderr


def test_a_worker_killed_between_a_million_tasks_loses_none_that_it_finished(driver: Driver, tmp_path: Path):
    path = tmp_path / "begun"

    def note(number: int) -> int:
        with path.open("a") as file:
            file.write(f"{number}\n")
        return number

    started = driver.start()
    driver.define(note)
    driver.give(note, [(n,) for n in range(20_000)])
    driver.wait(lambda: len(driver.outcomes()) > 500)
    os.kill(started.pid, signal.SIGKILL)
    (ended,) = driver.wait_for(WorkerEnded)
    begun = [int(line) for line in path.read_text().split()]
    finished = [index for index, _ in driver.outcomes()]
    assert finished == list(range(len(finished)))
    assert ended.exit_code == -signal.SIGKILL
    running = ended.slots[0].index if ended.slots[0].ticket else len(finished)
    assert running - len(finished) in (-1, 0)  # its word is cleared after its result is there
    assert len(begun) - len(finished) in (0, 1)


def test_a_retired_worker_runs_what_it_has_and_ends(driver: Driver):
    driver.start()
    driver.define(time.sleep)
    driver.give(time.sleep, [(0.1,), (0.1,)])
    driver.tell(RetireWorker(WORKER))
    (ended,) = driver.wait_for(WorkerEnded)
    assert (ended.exit_code, len(driver.outcomes()), ended.slots[0].ticket) == (0, 2, 0)


def test_what_a_worker_started_ends_with_it_and_other_workers_go_on(driver: Driver):
    def spawn() -> tuple[int, int]:
        child = subprocess.Popen(SLEEP)
        away = subprocess.Popen(SLEEP, start_new_session=True)
        return child.pid, away.pid

    driver.start(0)
    driver.start(1)
    (outcome,) = driver.run(spawn, [()])
    driver.define(spawn, 1)
    driver.give(spawn, [()], worker=1)
    driver.values(2)
    others = driver.outcomes()[-1][1].value
    driver.tell(KillWorker(WORKER))
    driver.wait_for(WorkerEnded)
    wait_dead(*outcome.value)
    assert all(map(alive, others))
    driver.close()
    wait_dead(*others)


def test_a_worker_killed_before_it_is_there_ends_all_the_same(driver: Driver):
    driver.tell(StartWorker(WORKER))
    driver.tell(KillWorker(WORKER))
    assert driver.wait_for(WorkerEnded)[0].exit_code == -signal.SIGKILL


def test_when_the_zygote_is_killed_its_workers_end_and_the_next_has_a_new_one(driver: Driver):
    def spawn() -> tuple[int, int]:
        return subprocess.Popen(SLEEP).pid, os.getppid()

    driver.start(0)
    driver.start(1)
    ((child, zygote),) = [outcome.value for outcome in driver.run(spawn, [()])]
    os.kill(zygote, signal.SIGKILL)
    ended = driver.wait_for(WorkerEnded, 2)
    assert [(event.worker, event.exit_code) for event in ended] == [(0, -signal.SIGKILL), (1, -signal.SIGKILL)]
    wait_dead(child, *(event.pid for event in driver.of(WorkerStarted)))
    driver.start(2)
    driver.define(double, 2)
    driver.give(double, [(21,)], worker=2)
    assert driver.values(2)[-1] == (0, 42)


def test_thirty_two_workers_start_together(driver: Driver):
    driver.start(0)
    begun = time.monotonic()
    for number in range(1, 33):
        driver.tell(StartWorker(WorkerId(number)))
    driver.wait_for(WorkerStarted, 33)
    assert time.monotonic() - begun < 2.0
    driver.tell(KillWorker(WorkerId(7)))
    assert driver.wait_for(WorkerEnded)[0].worker == 7


CLUSTER = """
import os, subprocess, sys, time
from tests.integration.worker_driver import Driver

def spawn():
    away = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    return os.getpid(), os.getppid(), away.pid

driver = Driver(dict(os.environ))
driver.start()
print(*driver.run(spawn, [()])[0].value, flush=True)
driver.define(time.sleep)
driver.give(time.sleep, [(1000,)])
while True:
    driver.turn(1)
"""


def test_nothing_outlives_a_cluster_that_is_killed(tmp_path: Path):
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as cluster:
        assert cluster.stdout is not None
        pids = [int(word) for word in cluster.stdout.readline().split()]
        assert [alive(pid) for pid in pids] == [True] * 3
        cluster.kill()
    wait_dead(*pids)
