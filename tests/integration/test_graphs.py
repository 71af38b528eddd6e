"""`get` of Scaler's graphs and of dask's, and dask's collections computed here, equal to dask's own results."""

import operator
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from scaler import Client, ScalerFuture, SchedulerClusterCombo
from scaler.errors import GraphError, UnknownTagError
from tests.integration.processes import Place

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with SchedulerClusterCombo(n_workers=2) as cluster, Client(cluster) as client:
        yield client
    assert place.processes() == []


def inc(number: int) -> int:
    return number + 1


def fail(_number: int) -> int:
    raise LookupError("this node fails")


def slow(number: int) -> int:
    time.sleep(30)
    return number


GRAPH: dict[Any, Any] = {
    "a": 2,
    "b": 2,
    "c": (inc, "a"),
    "d": (operator.add, "b", "c"),
    "e": (operator.mul, "d", 10),
    "never": (os._exit, 3),
}


def test_a_graph_gives_the_values_of_its_keys_in_their_order(client: Client):
    found = client.get(GRAPH, ["e", "c", "a"])
    assert list(found.items()) == [("e", 50), ("c", 3), ("a", 2)]


def test_keys_are_whatever_can_be_hashed_and_anything_else_is_itself(client: Client):
    key = frozenset({"k"})
    graph: dict[Any, Any] = {
        ("x", 0): 1,
        key: (operator.add, ("x", 0), 10),
        3.5: (dict, [("x", 0)]),
        None: (max, key, 2),
    }
    assert client.get(graph, [None, key, 3.5]) == {None: 11, key: 11, 3.5: {"x": 0}}


def test_options_are_for_each_node_of_a_graph_and_of_a_collection(client: Client):
    client.wait_for_workers()
    for call in (
        lambda: client.get(GRAPH, ["c"], tag="gqu"),
        lambda: client.get(GRAPH, ["c"], False, tag="gqu"),
        lambda: client.compute(da.ones(3).sum(), tag="gqu"),
    ):
        with pytest.raises(UnknownTagError, match="the tag 'gqu'"):
            call()
    with pytest.raises(LookupError) as caught:
        client.get({"bad": (fail, 1)}, ["bad"], name="a node")
    assert "(a node)" in caught.value.__notes__[-1]


def test_a_graph_that_is_not_waited_for_gives_futures(client: Client):
    found = client.get(GRAPH, ["a", "d"], block=False)
    assert all(isinstance(future, ScalerFuture) for future in found.values())
    assert {key: future.result(10) for key, future in found.items()} == {"a": 2, "d": 5}


def test_a_cycle_and_an_unknown_key_are_told(client: Client):
    with pytest.raises(GraphError, match="cycle"):
        client.get({"x": (inc, "y"), "y": (inc, "x")}, ["x"])
    with pytest.raises(ValueError, match="has no 'nope'"):
        client.get(GRAPH, ["a", "nope"])


def test_a_node_that_fails_fails_what_needs_it_with_its_own_error(client: Client):
    graph = {"bad": (fail, 1), "next": (inc, "bad"), "last": (inc, "next"), "good": (inc, 1)}
    with pytest.raises(LookupError, match="this node fails"):
        client.get(graph, ["last"])
    found = client.get(graph, ["last", "good"], block=False)
    assert found["good"].result(10) == 2
    assert isinstance(found["last"].exception(10), LookupError)


def test_a_graph_can_be_cancelled(client: Client):
    found = client.get({"slow": (slow, 1), "next": (inc, "slow")}, ["next"], block=False)
    assert found["next"].cancel()
    assert found["next"].cancelled()


def test_dask_delayed_runs_here(client: Client):
    with dask.config.set(scheduler=client):
        made = dask.delayed(operator.add)(dask.delayed(inc)(1), dask.delayed(inc)(12))
        assert made.compute() == 15
        assert dask.compute(made, dask.delayed(os.getpid)())[1] != os.getpid()


@pytest.mark.parametrize("optimize", [True, False])
def test_dask_arrays_are_what_numpy_says(client: Client, *, optimize: bool):
    numbers = np.arange(10_000.0).reshape(100, 100)
    array = da.from_array(numbers, chunks=(50, 50))
    with dask.config.set(scheduler=client):
        found = (array + array.T).dot(array).sum(axis=0).compute(optimize_graph=optimize)
    assert np.allclose(found, (numbers + numbers.T).dot(numbers).sum(axis=0))


def test_a_mean_of_many_points_is_computed_by_chunks(client: Client):
    with dask.config.set(scheduler=client):
        mean = da.random.default_rng(7).random((20_000_000,), chunks=1_000_000).mean().compute()
    assert abs(mean - 0.5) < 0.001


def test_dask_bags_and_data_frames_run_here(client: Client):
    frame = pd.DataFrame({"a": np.arange(1000) % 7, "b": np.arange(1000.0)})
    with dask.config.set(scheduler=client):
        bag = db.from_sequence(range(1000), npartitions=8)
        assert bag.map(inc).filter(lambda number: number % 2).sum().compute() == 250_000
        found = dd.from_pandas(frame, npartitions=4).groupby("a").b.mean().compute()
    pd.testing.assert_series_equal(found, frame.groupby("a").b.mean())


def test_what_dask_persists_is_computed_here(client: Client):
    with dask.config.set(scheduler=client):
        (kept,) = dask.persist(da.ones(10, chunks=5))
        assert kept.sum().compute() == 10.0


def test_legacy_graphs_of_dask_are_given_by_lists(client: Client):
    assert client.get({"a": 1, "b": (inc, "a"), "c": (sum, ["a", "b"])}, [["c"], ["a", "b"]]) == [[3], [1, 2]]


def test_compute_gives_futures_of_collections(client: Client):
    one = client.compute(da.ones((10, 10), chunks=5).sum())
    assert isinstance(one, ScalerFuture)
    assert one.result(10) == 100.0
    several = client.compute(da.ones(3).sum(), dask.delayed(inc)(1), optimize_graph=False)
    assert isinstance(several, list)
    assert [future.result(10) for future in several] == [3.0, 2]
    with pytest.raises(TypeError, match="int is no dask collection"):
        client.compute(5)


def test_compute_takes_lists_and_dicts_as_dask_distributed_does(client: Client):
    total, made = da.ones(3, chunks=1).sum(), dask.delayed(inc)(1)
    found = client.compute([total, made, 7, [made, made]])
    assert isinstance(found, list)
    assert [found[0].result(10), found[1].result(10), found[2], found[3].result(10)] == [3.0, 2, 7, [2, 2]]
    assert [future.result(10) for future in client.compute((made,))] == [2]
    assert client.compute({"a": made, "b": total, "c": 5}).result(10) == {"a": 2, "b": 3.0, "c": 5}
    assert client.compute(total, sync=True) == 3.0
    assert client.compute([total, 7], sync=True) == [3.0, 7]


ASKED: list[Callable[[Any], Any]] = [
    lambda frame: frame.b.sum(),
    lambda frame: frame.b.mean(),
    lambda frame: frame.groupby("a").b.sum(),
    lambda frame: frame[frame.b > 5],
    lambda frame: frame.a.nunique(),
    lambda frame: frame.merge(frame, on="b"),
    lambda frame: frame.a.value_counts(),
]


def test_compute_takes_data_frames(client: Client):
    frame = pd.DataFrame({"a": np.arange(60) % 7, "b": np.arange(60.0)})
    frames = dd.from_pandas(frame, npartitions=3)
    found = [client.compute(ask(frames), optimize_graph=optimize) for ask in ASKED for optimize in (True, False)]
    expected = [ask(frame) for ask in ASKED for _ in range(2)]
    for future, same in zip(found, expected, strict=True):
        one = future.result(20)
        if isinstance(same, pd.DataFrame):
            pd.testing.assert_frame_equal(one.sort_values("b", ignore_index=True), same.reset_index(drop=True))
        elif isinstance(same, pd.Series):
            pd.testing.assert_series_equal(one.sort_index(), same.sort_index())
        else:
            assert one == same


def test_what_shuffles_by_files_is_refused(client: Client):
    frame = dd.from_pandas(pd.DataFrame({"a": np.arange(20) % 7}), npartitions=3)
    bag = db.from_sequence(range(20), npartitions=2).groupby(bool, shuffle="disk")
    for made in (frame.shuffle("a", shuffle_method="disk"), bag):
        with pytest.raises(GraphError, match=r'dask.config.set\({"dataframe.shuffle.method": "tasks"}\)'):
            made.compute(scheduler=client)
        with pytest.raises(GraphError, match="shuffles by files"):
            client.compute(made)


SHUFFLES = """
import sys
import dask, dask.dataframe as dd, numpy as np, pandas as pd
from scaler import Client

frame = pd.DataFrame({"k": np.arange(2000) % 50, "v": np.arange(2000.0)})
frames = dd.from_pandas(frame, npartitions=12)
asked = [frames.groupby("k").apply(len, meta=("x", int)), frames.shuffle("k"), frames.set_index("v")]
with Client(sys.argv[1]) as client:
    print(len(set(client.map(lambda _: __import__("time").sleep(0.1) or __import__("os").getppid(), range(8)))))
    for one in asked:
        print(len(one.compute(scheduler=client)))
    with dask.config.set(scheduler=client):
        for one in asked:
            print(len(one.compute()))
    for one in asked:
        print(len(client.compute(one).result()))
"""


def test_data_frames_keep_their_rows_where_workers_share_no_folder(place: Place):
    shared = place.folder / "tmp"
    shared.mkdir()
    address = place.scheduler()[1]
    program = Path(sys.executable).with_name("scaler_worker")
    worker = f"mount -t tmpfs none {shared} && TMPDIR={shared} exec {program} -n 1 {address}"
    for _ in range(2):
        code = f"import os; os.execvp('unshare', ['unshare', '-m', 'sh', '-c', {worker!r}])"
        place.start("python", "-c", code).wait_for("connected")
    script = place.script(SHUFFLES, address)
    assert script.wait() == 0, script.err
    assert script.out.split() == ["2", *["50", "2000", "2000"] * 3]
