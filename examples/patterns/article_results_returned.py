"""Results are returned, not put into a list that all share: `python -m examples.patterns.article_results_returned`."""

from examples.patterns.connection import connected

shared: list[int] = []


def append(item: int) -> None:
    """What a task changes are the things of its worker."""
    shared.append(item)


def process_batch(batch: range) -> list[int]:
    """The squares of a batch."""
    return [item**2 for item in batch]


with connected(2) as client:
    client.map(append, range(10))
    print("in the shared list:", len(shared))

    results: list[int] = []
    for batch_results in client.imap(process_batch, [range(low, low + 25) for low in range(0, 100, 25)]):
        results.extend(batch_results)
    print("returned:", len(results), "of which the last is", results[-1])
