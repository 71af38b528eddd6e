"""Deliberate faults, kept as patches against `scaler/`: the simulation has to notice each of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.simulation.history import OBJECTS_AT, OBJECTS_EVERY

ROOT = Path(__file__).parents[2]
MUTANTS = sorted((Path(__file__).parent / "mutants").glob("*.patch"))
LEAST_MUTANTS = 8
#: most are noticed within the first ten
HISTORIES = 500
#: of these seeds one in three has tasks that submit tasks, which faults about them need
STEP = 6
#: faults about objects need histories that have some
OF_OBJECTS = ("object", "stored")
PROCESSES = max(2, len(os.sched_getaffinity(0)))
PLAY = "import scaler, sys; print(scaler.__file__, flush=True); from tests.simulation.cli import main; sys.exit(main())"

pytestmark = pytest.mark.alone

Playing = dict[Path, Future[subprocess.CompletedProcess[str]]]


def mutated(mutant: Path, directory: Path) -> None:
    """A copy of the package with the fault in it."""
    shutil.copytree(ROOT / "scaler", directory / "scaler", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["git", "apply", "-p1", str(mutant)]
    # no repository above may have a say in where the patch applies
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(directory.parent)}
    applied = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if applied.returncode:
        pytest.fail(f"{mutant.name} does not apply to the present sources, make it anew:\n{applied.stderr}")


def played(mutant: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """Histories of the package with the fault in it, until one of them fails."""
    mutated(mutant, directory)
    first, step = (OBJECTS_AT, OBJECTS_EVERY) if mutant.name.startswith(OF_OBJECTS) else (0, STEP)
    return subprocess.run(
        [sys.executable, "-c", PLAY, "--first", str(first), "--last", str(HISTORIES * step), "--step", str(step)],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def playing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """All mutants that this run asks for, several at a time."""
    names = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(PROCESSES) as processes:
        yield {
            mutant: processes.submit(played, mutant, tmp_path_factory.mktemp(mutant.stem))
            for mutant in MUTANTS
            if mutant.stem in names
        }


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.stem)
def test_the_simulation_notices(mutant: Path, playing: Playing):
    ended = playing[mutant].result()
    directory = ended.stdout.partition(f"{os.sep}scaler{os.sep}")[0]
    assert Path(directory).name.startswith(mutant.stem), "the mutated package is not the one that was imported"
    assert ended.returncode == 1, f"{HISTORIES} histories went well with {mutant.stem}"
    assert "replay it by" in ended.stderr


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= LEAST_MUTANTS
