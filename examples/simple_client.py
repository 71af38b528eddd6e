"""One call at a time: submit it, go on with other things, ask for the result when it is needed.

Run it with `python -m examples.simple_client`. Scheduler and workers live on this machine as long as the block lasts.
"""

from scaler import Client, SchedulerClusterCombo, as_completed


def is_prime(number: int) -> bool:
    """Whether nothing but 1 and itself divides the number."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


with SchedulerClusterCombo(n_workers=2) as cluster, Client(address=cluster.get_address()) as client:
    future = client.submit(is_prime, 1_000_003)
    print("1,000,003 is prime:", future.result())

    futures = {client.submit(is_prime, number): number for number in range(2_000_000, 2_000_020)}
    primes = [futures[future] for future in as_completed(futures) if future.result()]
    print("primes from 2,000,000 on:", sorted(primes))

    failing = client.submit(is_prime, "seven")  # an error comes back with its own type
    print("is 'seven' prime?", repr(failing.exception()))
