"""Programs of users of Scaler, in the shape its documentation gives them. What is printed is what is printed there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """What a user brings along, what it prints, and the names it uses that warn here."""

    name: str
    text: str
    output: str
    warns: tuple[str, ...] = ()


MAP = Program(
    "map_client",
    """
import math
import sys

from scaler import Client
from scaler.cluster.combo import SchedulerClusterCombo


def main():
    address = sys.argv[1]
    cluster = SchedulerClusterCombo(
        address=address, n_workers=4, per_worker_queue_size=2, event_loop="builtin", hard_processor_suspend=True
    )
    with Client(address=cluster.get_address()) as client:
        print(round(sum(client.map(math.sqrt, [(i,) for i in range(100)])), 2))
        print(client.map(math.sqrt, range(5))[4])
        print(client.map(lambda x, y: x + y, [1, 2, 3], [10, 20, 30]))
        print(client.starmap(lambda x, y: x + y, [(1, 10), (2, 20), (3, 30)]))
        print(client.map(math.sqrt, []))
    cluster.shutdown()


if __name__ == "__main__":
    main()
""",
    "661.46\n2.0\n[11, 22, 33]\n[11, 22, 33]\n[]\n",
    warns=("per_worker_queue_size", "hard_processor_suspend"),
)

SUBMIT = Program(
    "simple_client",
    """
import math
import sys

from scaler import Client, SchedulerClusterCombo


def power(base, *, exponent=2):
    return base**exponent


cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=2)
client = Client(cluster.get_address(), True, 60, 2)
futures = [client.submit(math.sqrt, i) for i in range(100)]
print(round(sum(future.result() for future in futures), 2))
print(client.submit(power, 3).result(), client.submit(power, 3, exponent=3).result(), client.submit(max, 3, 5).result())
print(client.submit_verbose(power, (3,), {"exponent": 4}).result())
client.disconnect()
cluster.shutdown()
""",
    "661.46\n9 27 5\n81\n",
)

GRAPH = Program(
    "graphtask_client",
    """
import sys

from scaler import Client, SchedulerClusterCombo


def inc(i):
    return i + 1


def add(a, b):
    return a + b


def minus(a, b):
    return a - b


graph = {"a": 2, "b": 2, "c": (inc, "a"), "d": (add, "a", "b"), "e": (minus, "d", "c")}

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=1)
with Client(address=cluster.get_address()) as client:
    print(client.get(graph, keys=["e"]))
    print(client.get(graph, ["a", "c", "d", "e"]))
    futures = client.get(graph, keys=["d", "e"], block=False)
    print({key: future.result() for key, future in futures.items()})
    try:
        client.get({"a": (inc, "b"), "b": (inc, "a")}, keys=["a"])
    except ValueError:
        print("a cycle")
cluster.shutdown()
""",
    "{'e': 1}\n{'a': 2, 'c': 3, 'd': 4, 'e': 1}\n{'d': 4, 'e': 1}\na cycle\n",
)

NESTED_GRAPH = Program(
    "graphtask_nested_client",
    """
import sys

from scaler import Client, SchedulerClusterCombo


def inc(i):
    return i + 1


def add(a, b):
    return a + b


def inner(client, start):
    graph = {"x": start, "y": (inc, "x"), "z": (add, "x", "y")}
    return client.get(graph, keys=["z"])["z"]


with SchedulerClusterCombo(address=sys.argv[1], n_workers=1) as cluster, Client(cluster.get_address()) as client:
    graph = {"client": client, "a": (inner, "client", 10), "b": (inner, "client", 20), "sum": (add, "a", "b")}
    print(client.get(graph, keys=["sum"]))
""",
    "{'sum': 62}\n",
)

NESTED = Program(
    "nested_client",
    """
import sys

from scaler import Client, SchedulerClusterCombo


def fibonacci(client: Client, n: int):
    if n == 0:
        return 0
    elif n == 1:
        return 1
    else:
        a = client.submit(fibonacci, client, n - 1)
        b = client.submit(fibonacci, client, n - 2)
        return a.result() + b.result()


def without_an_address(n: int):
    with Client() as client:
        return client.map(abs, range(-n, 0))


def main():
    cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=1)
    with Client(address=cluster.get_address()) as client:
        print(client.submit(fibonacci, client, 8).result())
        print(client.submit(without_an_address, 3).result())
    cluster.shutdown()


if __name__ == "__main__":
    main()
""",
    "21\n[3, 2, 1]\n",
)

DISCONNECT = Program(
    "disconnect_client",
    """
import sys
import time

from scaler import Client, SchedulerClusterCombo
from scaler.utility.exceptions import ClientQuitException

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=1)
first, second = Client(cluster.get_address()), Client(cluster.get_address())
print(first.identity != second.identity)

late = first.submit(time.sleep, 60)
first.clear()
print(late.cancelled())
print(first.submit(abs, -1).result())

first.disconnect()
first.disconnect()
try:
    first.submit(abs, -2)
except ClientQuitException:
    print("it has left")
print(second.submit(abs, -2).result())
second.disconnect()
cluster.shutdown()
""",
    "True\nTrue\n1\nit has left\n2\n",
)

SHUTDOWN = Program(
    "shutdown",
    """
import sys

from scaler import Client, SchedulerClusterCombo

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=1, protected=True)
with Client(cluster.get_address()) as client:
    try:
        client.shutdown()
    except ValueError:
        print("it is protected")
    print(client.submit(abs, -1).result())
cluster.shutdown()

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=1, protected=False)
client = Client(cluster.get_address())
print(client.submit(abs, -2).result())
client.shutdown()
cluster.shutdown()
""",
    "it is protected\n1\n2\n",
)

CAPABILITIES = Program(
    "capabilities",
    """
import os
import sys

from scaler import Client, SchedulerClusterCombo

cluster = SchedulerClusterCombo(address=sys.argv[1], n_workers=2, per_worker_capabilities={"linux": -1, "gpu": 1})
with Client(address=cluster.get_address()) as client:
    future = client.submit_verbose(round, args=(3.15,), kwargs={}, capabilities={"linux": -1})
    print(future.result())
    print(client.map(abs, [-1, -2], capabilities={"gpu": 1}))
    print(client.starmap(pow, [(2, 3)], capabilities={"gpu": 1, "linux": -1}))
    print(client.get({"a": (abs, -3)}, keys=["a"], capabilities={"linux": -1}))
    try:
        client.submit_verbose(round, (3.15,), {}, capabilities={"windows": -1})
    except Exception as error:
        print(type(error).__name__)
    too_much = client.submit_verbose(round, (3.15,), {}, capabilities={"gpu": 3})
    print(too_much.done(), too_much.cancel())
cluster.shutdown()
""",
    "3\n[1, 2]\n[8]\n{'a': 3}\nUnknownTagError\nFalse True\n",
)

PROFILING = Program(
    "profiling",
    """
import asyncio
import sys
import time

from scaler import Client, SchedulerClusterCombo


def calculate(seconds):
    time.sleep(seconds)
    return seconds


async def later(client):
    return await client.submit(calculate, 0.01)


with SchedulerClusterCombo(address=sys.argv[1], n_workers=1) as cluster:
    client = Client(address=cluster.get_address(), profiling=True)
    future = client.submit(calculate, 0.2)
    future.result()
    info = future.profiling_info()
    print(0.2 <= info.duration_s < 20, 0 <= info.cpu_time_s < 20, info.memory_peak > 0)
    print(future.task_id != client.submit(calculate, 0).task_id)
    print(asyncio.run(later(client)))
    endless = client.submit(time.sleep, 3600)
    print(client.submit(abs, -1).done(), endless.cancel(), endless.cancelled())
    client.disconnect()
""",
    "True True True\nTrue\n0.01\nFalse True True\n",
)

EXCEPTIONS = Program(
    "exceptions",
    """
import os
import sys
import threading

from scaler import Client, SchedulerClusterCombo
from scaler.utility.exceptions import ProcessorDiedError, TaskExceptionNotSerializableError


def fail():
    raise KeyError("its own")


def fail_badly():
    lock = threading.Lock()

    class Bad(Exception):
        held = lock

    raise Bad()


def die():
    os._exit(7)


with SchedulerClusterCombo(address=sys.argv[1], n_workers=1) as cluster, Client(cluster.get_address()) as client:
    for function in (fail, fail_badly, die):
        try:
            client.submit(function).result()
        except (KeyError, TaskExceptionNotSerializableError, ProcessorDiedError) as error:
            print(function.__name__, isinstance(error, ProcessorDiedError), isinstance(error, KeyError))
    try:
        client.map(divmod, [(1, 1), (1, 0), (1, 1)])
    except ZeroDivisionError as error:
        print(error.results[0], error.results[2])
    print(client.map(abs, [-1]))
""",
    "fail False True\nfail_badly False False\ndie True False\n(1, 0) (1, 0)\n[1]\n",
)

SERIALIZER = Program(
    "custom_serializer",
    """
import pickle
import sys

import cloudpickle

from scaler import Client, SchedulerClusterCombo, Serializer

used = []


class CustomSerializer(Serializer):
    @staticmethod
    def serialize(obj) -> bytes:
        used.append(type(obj).__name__)
        return cloudpickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def deserialize(payload: bytes):
        return cloudpickle.loads(payload)


with SchedulerClusterCombo(address=sys.argv[1], n_workers=1) as cluster:
    with Client(address=cluster.get_address(), serializer=CustomSerializer()) as client:
        print(client.submit(sorted, [3, 1, 2]).result())
print("list" in used)
""",
    "[1, 2, 3]\nTrue\n",
)

EVERY_KEYWORD = Program(
    "every_keyword",
    """
import sys

from scaler import Client, SchedulerClusterCombo

cluster = SchedulerClusterCombo(
    n_workers=2,
    address=sys.argv[1],
    monitor_address=None,
    worker_io_threads=1,
    scheduler_io_threads=1,
    max_number_of_tasks_waiting=-1,
    per_worker_task_queue_size=1000,
    heartbeat_interval_seconds=2,
    client_timeout_seconds=60,
    worker_timeout_seconds=60,
    death_timeout_seconds=300,
    task_timeout_seconds=0,
    object_retention_seconds=60,
    load_balance_seconds=1,
    load_balance_trigger_times=2,
    garbage_collect_interval_seconds=30,
    trim_memory_threshold_bytes=1024 * 1024 * 1024,
    hard_processor_suspend=False,
    protected=True,
    event_loop="uvloop",
    logging_paths=("/dev/null",),
    logging_level="INFO",
    logging_config_file=None,
)
address = cluster.get_address()
with Client(address, stream_output=False, object_storage_address="tcp://h:1", security_config=1) as client:
    print(client.map(abs, [-1, -2, -3]))
cluster.shutdown()
""",
    "[1, 2, 3]\n",
    warns=(
        "hard_processor_suspend",
        "load_balance_seconds",
        "load_balance_trigger_times",
        "object_retention_seconds",
        "object_storage_address",
        "per_worker_task_queue_size",
        "scheduler_io_threads",
        "security_config",
        "worker_io_threads",
    ),
)

PROGRAMS = (
    MAP,
    SUBMIT,
    GRAPH,
    NESTED_GRAPH,
    NESTED,
    DISCONNECT,
    SHUTDOWN,
    CAPABILITIES,
    PROFILING,
    EXCEPTIONS,
    SERIALIZER,
    EVERY_KEYWORD,
)
