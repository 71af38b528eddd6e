"""Who may import what; the contracts in pyproject.toml say the same of what is imported on the way."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import scaler
from tests.house.source import ROOT, imports, python_files, relative

IMPURE = {
    "asyncio",
    "cloudpickle",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "pickle",
    "random",
    "secrets",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
    "zmq",
}
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}


def top(name: str) -> str:
    return name.partition(".")[0]


def importers(modules: set[str], files: list[Path]) -> list[str]:
    return [relative(path) for path in files if modules & {top(name) for name in imports(path)}]


def pure_files() -> list[Path]:
    agents = sorted((ROOT / "scaler/worker").glob("agent*.py"))
    rows = ROOT / "scaler/durable/rows.py"
    return [*python_files("scaler/core", "scaler/ledger", "scaler/link", "scaler/protocol"), rows, *agents]


def test_pure_modules_touch_no_world():
    assert importers(IMPURE, pure_files()) == []


def test_only_net_imports_zmq():
    outside = [path for path in python_files("scaler") if not relative(path).startswith("scaler/net/")]
    assert importers({"zmq"}, outside) == []


def test_only_payload_pickles():
    outside = [path for path in python_files("scaler") if not relative(path).startswith("scaler/payload/")]
    assert importers(PICKLES, outside) == []


def test_nothing_inside_imports_the_face_of_the_package():
    names = {f"scaler.{name}" for name in scaler.__all__}
    inside = [path for path in python_files("scaler") if relative(path) != "scaler/__init__.py"]
    assert [relative(path) for path in inside if names & set(imports(path))] == []


def test_every_pure_module_is_under_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = next(contract for contract in contracts if contract["name"].startswith("Pure"))["source_modules"]
    dotted = [relative(path).removesuffix(".py").replace("/", ".") for path in pure_files()]
    missing = [name for name in dotted if not any(name == root or name.startswith(f"{root}.") for root in named)]
    assert missing == []


HEAVY = {"asyncio", "click", "cloudpickle", "msgspec", "psutil", "yaml", "zmq"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert modules_after("import scaler") & HEAVY == set()


@pytest.mark.parametrize("module", ["scaler.scheduler.shell", "scaler.core.scheduler", "scaler.net.zmq_listener"])
def test_the_scheduler_never_loads_what_opens_payload(module: str):
    loaded = modules_after(f"import {module}")
    assert {
        name for name in loaded if top(name) in {"cloudpickle", "tblib"} or name.startswith("scaler.payload")
    } == set()
