"""Tasks sent off now and asked for later, and a chain of them: `python -m examples.patterns.article_task_queue`."""

import time

from examples.patterns.connection import connected


def add(one: int, other: int) -> int:
    """The sum, after a second."""
    time.sleep(1)
    return one + other


def multiply(one: int, other: int) -> int:
    """The product, after a second."""
    time.sleep(1)
    return one * other


with connected(4) as client:
    client.wait_for_workers()
    began = time.perf_counter()
    total = client.submit(add, 4, 6)
    product = client.submit(multiply, 3, 5)
    # A future as an argument: the second link waits for the first on the workers' side.
    chain = client.submit(multiply, client.submit(add, 2, 2), 4)
    print("4 + 6 =", total.result())
    print("3 * 5 =", product.result())
    print("(2 + 2) * 4 =", chain.result())
    print(f"four tasks of a second in {time.perf_counter() - began:.2f} s")
