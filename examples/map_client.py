"""Many calls at once: every element is a task of its own, and the results come back in order.

Run it with `python -m examples.map_client`; or, to use a scheduler that runs already, with its address:
`python -m examples.map_client tcp://127.0.0.1:8516`.
"""

import contextlib
import math
import random
import sys

from scaler import Client, SchedulerClusterCombo


def estimate_pi(seed: int, throws: int) -> float:
    """Throw darts at a square; the share within the circle is a quarter of pi."""
    chance = random.Random(seed)  # noqa: S311  # darts, no secrets
    hits = sum(chance.random() ** 2 + chance.random() ** 2 < 1 for _ in range(throws))
    return 4 * hits / throws


with contextlib.ExitStack() as stack:
    address = sys.argv[1] if len(sys.argv) > 1 else None
    if address is None:
        address = stack.enter_context(SchedulerClusterCombo(n_workers=2)).get_address()
    client = stack.enter_context(Client(address=address))

    # An element that is exactly a tuple is the argument list.
    print("roots:", client.map(math.sqrt, [(1,), (4,), (9,)]))
    # Any other element is the single argument; several iterables are zipped.
    print("powers:", client.map(pow, range(5), range(5)))

    estimates = client.map(estimate_pi, [(seed, 20_000) for seed in range(50)])
    print(f"pi is about {sum(estimates) / len(estimates):.3f}")
