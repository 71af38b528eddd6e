"""Lambdas, closures, and calls that are quicker than their way: `python -m examples.patterns.article_lambdas`."""

import multiprocessing
import pickle
import time
from concurrent.futures import ProcessPoolExecutor

from examples.patterns.connection import connected

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            print(list(pool.map(lambda x: x**2, range(10))))
        except (pickle.PicklingError, AttributeError):
            print("a pool of processes takes no lambda")

    with connected(2) as client:
        print("lambda:", client.map(lambda x: x**2, range(10)))
        offset = 100
        print("closure:", client.map(lambda x: x + offset, range(10)))

        # Ten calls are not worth the way; but a call costs so little that ten thousand need no batches.
        began = time.perf_counter()
        total = sum(client.map(lambda x: x + 1, range(10_000)))
        print(f"10,000 quick calls: {total:,} in {time.perf_counter() - began:.2f} s")
