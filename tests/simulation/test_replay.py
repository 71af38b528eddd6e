"""A seed is a test case: it brings the same commands, in the same order, in every process."""

import os
import subprocess
import sys

import pytest


def digest(seed: int, hash_seed: int) -> str:
    """The digest of all commands of a history, in a process that hashes in its own way."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--digest"]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.parametrize("seed", [3, 14, 150])
def test_three_hash_seeds_give_one_log(seed: int):
    assert len({digest(seed, hash_seed) for hash_seed in range(3)}) == 1


def test_two_seeds_give_two_logs():
    assert digest(1, 0) != digest(2, 0)
