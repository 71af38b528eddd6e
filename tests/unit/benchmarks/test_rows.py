import ast
from pathlib import Path

import pytest

from benchmarks.__main__ import parse, peers_of
from benchmarks.peers import PEERS, Peer
from benchmarks.rows import ROWS, Row

MEASURED = Path(__file__).resolve().parents[3] / "benchmarks/measured"


def workload_text(row: Row) -> str:
    return (MEASURED / "workloads" / f"{row.workload}.py").read_text(encoding="utf-8")


def arguments_of(row: Row) -> set[str]:
    run = next(node for node in ast.parse(workload_text(row)).body if getattr(node, "name", "") == "run")
    assert isinstance(run, ast.FunctionDef)
    return {argument.arg for argument in run.args.args} - {"peer"}


def test_rows_have_names_of_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_flag_of_a_row_is_an_argument_of_its_workload(row: Row):
    assert {*row.flags, *row.quick} <= arguments_of(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_figure_with_a_bar_is_one_the_workload_returns(row: Row):
    assert [bar.figure for bar in row.bars if f'"{bar.figure}"' not in workload_text(row)] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_whoever_a_bar_is_compared_with_takes_part_in_the_row(row: Row):
    assert {peer for bar in row.bars for peer in bar.times} <= set(row.peers)


def test_every_peer_has_an_adapter_and_every_adapter_is_a_peer():
    assert {path.stem for path in (MEASURED / "adapters").glob("[!_]*.py")} == set(PEERS)


def test_a_slow_peer_is_given_less_and_nobody_more():
    slow = Peer("slow", "slow", most={"noop_map": 10})
    assert slow.sized("noop_map", {"n": 100, "workers": 2}) == {"n": 10, "workers": 2}
    assert slow.sized("noop_map", {"n": 5}) == {"n": 5}
    assert slow.sized("latency", {"n": 100}) == {"n": 100}
    assert slow.sized("noop_map", {"workers": 2}) == {"workers": 2}


def names(row: Row, asked: list[str] | None) -> list[str]:
    return [peer.name for peer in peers_of(row, asked)]


def test_we_are_first_and_the_peers_asked_for_replace_those_of_the_row():
    row = Row("row", "a row", "noop_map", (), peers=("concurrent_futures",))
    assert names(row, None) == ["scaler", "concurrent_futures"]
    assert names(row, ["multiprocessing_pool", "scaler"]) == ["scaler", "multiprocessing_pool"]
    assert names(row, []) == ["scaler"]


def test_a_row_for_this_project_alone_takes_no_peers():
    row = Row("row", "a row", "latency", (), ours="scaler_ipc", is_for_all=False)
    assert names(row, ["concurrent_futures"]) == ["scaler_ipc"]


def test_a_peer_whose_environment_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.peers.FOLDER", tmp_path)
    row = Row("row", "a row", "noop_map", (), peers=("concurrent_futures", "ray"))
    assert names(row, None) == ["scaler", "concurrent_futures"]


def test_a_name_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse(["--rows", "map-1m,nonsense"])
    assert "nonsense" in capsys.readouterr().err


def test_rows_and_peers_are_separated_by_commas():
    options = parse(["--rows", "map-1m,submit", "--peers", "ray"])
    assert (options.rows, options.peers) == (["map-1m", "submit"], ["ray"])
