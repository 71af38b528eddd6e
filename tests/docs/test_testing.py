"""The tests on the page about testing are run as they stand, by the commands that stand there."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs/testing.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(COMMANDS,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
#: where it is not installed, such as in a worktree, it has to be named
NAMED = () if importlib.metadata.entry_points(group="pytest11", name="scaler") else ("-p", "scaler.testing.plugin")


@pytest.mark.parametrize("command", COMMANDS.splitlines())
def test_the_tests_of_the_page_pass_by_its_commands(tmp_path: Path, command: str):
    (tmp_path / "test_program.py").write_text(PROGRAM, encoding="utf-8")
    dollar, pytest_name, *options = command.split()
    assert (dollar, pytest_name) == ("$", "pytest")
    words = [sys.executable, "-m", "pytest", *NAMED, *options]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 4 passed" in done.stdout
