"""Deliberate faults, kept as patches against `scaler/`: the simulation has to notice each of them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = sorted((Path(__file__).parent / "mutants").glob("*.patch"))
LEAST_MUTANTS = 8
#: most are noticed within the first ten
HISTORIES = 500
PLAY = "import scaler, sys; print(scaler.__file__, flush=True); from tests.simulation.cli import main; sys.exit(main())"


def mutated(mutant: Path, directory: Path) -> None:
    """A copy of the package with the fault in it."""
    shutil.copytree(ROOT / "scaler", directory / "scaler", ignore=shutil.ignore_patterns("__pycache__"))
    command = ["git", "apply", "-p1", str(mutant)]
    # no repository above may have a say in where the patch applies
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(directory.parent)}
    applied = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if applied.returncode:
        pytest.fail(f"{mutant.name} does not apply to the present sources, make it anew:\n{applied.stderr}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.stem)
def test_the_simulation_notices(mutant: Path, tmp_path: Path):
    mutated(mutant, tmp_path)
    ended = subprocess.run(
        [sys.executable, "-c", PLAY, "--last", str(HISTORIES)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.startswith(str(tmp_path)), "the mutated package is not the one that was imported"
    assert ended.returncode == 1, f"{HISTORIES} histories went well with {mutant.stem}"
    assert "replay it by" in ended.stderr


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= LEAST_MUTANTS
