"""Trees of tasks that submit tasks, drawn from a seed: how deep and wide they are, and how each task waits."""

from dataclasses import replace
from random import Random

from msgspec.structs import replace as with_fields

from scaler.ids import BatchId, FunctionId
from scaler.protocol import BatchOptions
from tests.simulation.plan import NEST, batch_options, function_of, needs_of, tasks_of
from tests.simulation.workload import Shape, Task, argument

#: how a task waits for those it has submitted; who polls does not say that it waits: that is seen where nobody does
WAITING = ("waits", "waits", "waits twice", "waits for one", "waits for none", "cancels one")
POLLING = ("polls",)
#: how many tasks at the top, how many levels below each, and how many tasks each submits at a time at most
TREES = ((8, 1, 2), (12, 1, 1), (2, 2, 3), (3, 3, 2), (1, 6, 1), (2, 6, 1))
#: so many may wait in a cluster
MOST_PARKED = (64, 64, 64, 4, 2, 1)
#: the last tag is that of two slots
TOP_TAGS = (None, "gpu", "solo", "solo")
#: what it works before and after that, about; some for longer than the timeout of others
WORKS_S = (0.0, 0.01, 0.01, 0.15, 0.15, 0.15, 1.0)
BULK_CHILDREN = 40


def top_tasks(chance: Random, batch: BatchId, options: BatchOptions, how: tuple[str, ...]) -> list[Task]:
    """Tasks that submit others, each in one of these ways, as those do in turn."""
    tops, levels, width = chance.choice(TREES)
    return [_task(chance, batch, index, options, Shape(how, levels, width)) for index in range(tops)]


def top_options(chance: Random) -> BatchOptions:
    """As for other tasks, but that none holds a count while it waits for others that need it too."""
    options = batch_options(chance, 1)
    timeout_s = 0.25 if chance.random() < 0.3 else None
    retries = chance.choice((1, 2))
    return with_fields(options, tag=chance.choice(TOP_TAGS), resources=(), retries=retries, timeout_s=timeout_s)


def _task(chance: Random, batch: BatchId, index: int, options: BatchOptions, like: Shape) -> Task:
    task = Task(batch, index, argument(batch, index), options, 0.0)
    before_s, after_s = (chance.choice(WORKS_S) * chance.random() for _ in range(2))
    task.shape = replace(like, how=chance.choice(like.ways), before_s=before_s, after_s=after_s)
    task.seconds = before_s + after_s
    task.raises = chance.random() < 0.05
    return task


def nested_tasks(chance: Random, batch: BatchId, shape: Shape, tag: str | None) -> tuple[list[Task], BatchOptions]:
    """What a task of this tag submits: tasks that submit others in turn, or at the last level plain ones.

    Most of them go where it is itself, so that slots are few.
    """
    size = chance.randint(1, shape.width)
    if shape.levels > 1:
        options = top_options(chance)
        below = replace(shape, levels=shape.levels - 1)
        tasks = [_task(chance, batch, index, options, below) for index in range(size)]
    else:
        size = chance.choice((size, size, size, BULK_CHILDREN))
        options = batch_options(chance, size)
        tasks = tasks_of(chance, batch, size, options)
    needs_of(chance, tasks, [])
    return tasks, with_fields(options, tag=tag) if chance.random() < 0.7 else options


def function_of_nested(tasks: list[Task]) -> FunctionId:
    """Tasks that submit others share a function."""
    return NEST if tasks[0].shape is not None else function_of(len(tasks))
