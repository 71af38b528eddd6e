"""What a history is made of, drawn from its seed: clusters, batches, what their tasks do, and the faults."""

from random import Random

from scaler.ids import BatchId, FunctionId, TaskId, function_id
from scaler.protocol import BatchOptions
from scaler.protocol.code import SHIPPED, WHOSE, with_code
from scaler.worker.agent import AgentConfig
from tests.simulation.objects import CallerObjects
from tests.simulation.workload import Task, argument

TASKS = 200
CLUSTERS = 3
WORKERS = 2
#: the bytes of the functions, by name
ARCHIVE = b"a module that single ones need"
_CODE = ((WHOSE, SHIPPED), ("mine", function_id((ARCHIVE,))))
CODES = {function_id((code,)): code for code in (b"bulk", with_code(_CODE, b"single"), b"nest")}
BULK, SINGLE, NEST = CODES
#: of the clusters, by number
TAGS = (("gpu", "solo"), ("gpu",), ())
UNKNOWN_TAG = "nowhere"
MEMORY = 4.0
#: a small batch has no more tasks; how long those of large and of small ones take, about
MOST_SINGLE = 4
BULK_SECONDS = (0.000001, 0.000001, 0.000003, 0.000003, 0.000003, 0.0001)
SINGLE_SECONDS = (0.05, 0.2, 0.5)
#: so many may wait in a cluster
MOST_PARKED = (64, 64, 64, 4, 2, 1)


def cluster_config(
    host: str,
    number: int,
    threads: int,
    max_parked: int,
    ends_at: float | None = None,
    tags: tuple[str, ...] | None = None,
) -> AgentConfig:
    """What a cluster offers: one tag or two at the first two hosts, perhaps threads at the third."""
    return AgentConfig(
        name=host,
        host=host,
        pid=1,
        workers=WORKERS,
        threads=threads if number == CLUSTERS - 1 else 1,
        tags=TAGS[number] if tags is None else tags,
        resources=(("memory", MEMORY),),
        ends_at=ends_at,
        max_parked=max_parked,
    )


def batch_options(chance: Random, size: int) -> BatchOptions:
    """Some of everything a batch may ask for; some large ones go where only one cluster takes them."""
    is_bulk = size > MOST_SINGLE
    tags = (None, None, "gpu", "gpu", "gpu", "gpu", "solo") if is_bulk else (None, None, "gpu")
    memory = (0.125, 0.5) if is_bulk else (1.0, 2.0)
    return BatchOptions(
        priority=chance.choice((0, 0, 1)),
        retries=chance.choice((0, 1, 1, 2)),
        retry_delay_s=chance.choice((0.01, 0.1, 0.3)),
        tag=chance.choice(tags),
        resources=(("memory", chance.choice(memory)),) if chance.random() < 0.2 else (),
        timeout_s=0.25 if chance.random() < 0.15 else None,
    )


def batch_sizes(chance: Random) -> list[int]:
    """Of three or four batches one or two are large, and all of them have `TASKS` tasks."""
    small = [chance.randint(2, MOST_SINGLE) for _ in range(2)]
    left = TASKS - sum(small)
    first = left if chance.random() < 0.92 else left // 3
    sizes = [*small, first, left - first]
    chance.shuffle(sizes)
    return [size for size in sizes if size]


def function_of(size: int) -> FunctionId:
    """Run times are known by function: large batches share one, small ones another."""
    return BULK if size > MOST_SINGLE else SINGLE


def needs_of(chance: Random, tasks: list[Task], earlier: list[TaskId]) -> None:
    """Have some of the tasks need others, of the same batch or of earlier ones."""
    if not chance.random() < 0.3:
        return
    often = chance.choice((0.1, 0.5, 1.0))
    for task in tasks:
        before = [*earlier[-20:], *(TaskId(task.batch, index) for index in range(max(0, task.index - 3), task.index))]
        if before and chance.random() < often:
            task.needs = tuple(chance.sample(before, min(len(before), chance.choice((1, 1, 2, 3)))))


def needs_objects(chance: Random, tasks: list[Task], objects: CallerObjects) -> None:
    """Have some of the tasks need a few new objects, beside what else they need."""
    if chance.random() < 0.5:  # one each in turn, of which a cluster has no room for two at a time
        made = [objects.make(chance, tasks[0].batch, 40) for _ in range(6)]
        for task in tasks:
            task.needs = (*task.needs, made[task.index // 5 % len(made)])
        return
    made = [objects.make(chance, tasks[0].batch, 4) for _ in range(chance.choice((1, 2, 4, 8)))]
    often = chance.choice((0.05, 0.2, 0.5, 1.0))
    for task in tasks:
        if chance.random() < often:
            task.needs = (*task.needs, *chance.sample(made, chance.randint(1, len(made))))


def parts_of(chance: Random, size: int) -> list[int]:
    """The same number of tasks in parts."""
    most = chance.choice((size, size, size, 60))
    return [min(most, size - lo) for lo in range(0, size, most)]


def tasks_of(chance: Random, batch: BatchId, size: int, options: BatchOptions) -> list[Task]:
    """Tasks of about the same length, a few of them long, a few that raise."""
    is_bulk = size > MOST_SINGLE
    seconds = chance.choice(BULK_SECONDS if is_bulk else SINGLE_SECONDS)
    tasks = []
    for index in range(size):
        task = Task(batch, index, argument(batch, index), options, seconds * (0.5 + chance.random()))
        what = chance.random() * (12 if is_bulk else 1)
        if what < 0.1:
            task.seconds = chance.choice((0.3, 0.3, 1.0, 3.0)) * (0.7 + chance.random())
        elif what < 0.18:
            task.raises_left = chance.randint(1, 3)
        elif what < 0.21:
            task.raises = True
        tasks.append(task)
    if options.tag == "solo" and chance.random() < 0.6:  # these hold up all that the one cluster has behind them
        for task in chance.sample(tasks[size // 4 :], WORKERS):
            task.seconds = 2.0 + 2.0 * chance.random()
    return tasks
