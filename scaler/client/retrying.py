"""`retry`: failed calls once more, each with what its inputs become this time."""

from collections.abc import Hashable
from typing import Any

from scaler.client.batches import Batches
from scaler.client.futures import ScalerFuture
from scaler.client.graphs import in_order
from scaler.ids import TaskId
from scaler.ledger.events import Again
from scaler.protocol.columns import SUCCESSES


def retry(batches: Batches, futures: list[ScalerFuture]) -> list[ScalerFuture]:
    """Submit those that failed anew, each behind those it needs; their new futures, in order."""
    for future in futures:
        if future.task.batch in batches.io.work and _has_failed(future):
            raise ValueError(f"task {future.task} was submitted by another process, which has its call: submit it anew")
    failed = {future.task: again for future in futures if (again := future.again) is not None}
    for task, again in failed.items():
        _require_inputs(task, again, failed)
    anew: dict[TaskId, ScalerFuture] = {}

    def needs(task: Any) -> list[Hashable]:  # Any: one of those that failed
        return [needed.task for needed in failed[task].inputs_of_one() if needed.task in failed]

    order: list[Any] = in_order(needs, reversed(failed))
    for task in order:
        anew[task] = batches.submit_again(failed[task], anew)
    for future in futures:
        if future.task in anew:
            batches.io.failures.remove(future)
    return [anew[future.task] for future in futures if future.task in anew]


def _has_failed(future: ScalerFuture) -> bool:
    return future.done() and not future.cancelled() and not future.is_far and future.exception() is not None


def _require_inputs(task: TaskId, again: Again, failed: dict[TaskId, Again]) -> None:
    for needed in again.inputs_of_one():
        if needed.task not in failed and needed.known is not None and needed.known.status not in SUCCESSES:
            raise ValueError(f"task {task} needs task {needed.task}, which failed, too: give retry both of them")
