"""How the source reads: what a linter has no rule for."""

import ast
import re
import statistics
from pathlib import Path

import pytest

from tests.house.source import ROOT, functions, python_files, relative, text_files, tree

LONGEST_FILE = 450
LONGEST_FUNCTION = 45
MEDIAN_FUNCTION = 10
OURS = python_files("scaler", "tests", "docs", "benchmarks", "examples")

#: folders of one machine, and hosts that serve packages: neither has a place in a project
FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:root|work|home/\w+)/|https?://[\w.-]*(?:pypi|pythonhosted|npmjs|nodejs|anaconda|crates)[\w.-]*"
)


def test_no_file_is_too_long():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in OURS}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_of_the_product_is_too_long():
    lengths = {
        f"{relative(path)}: {name}": _length(node) for path in python_files("scaler") for name, node in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_most_functions_of_the_product_are_short():
    lengths = [_length(node) for path in python_files("scaler") for _, node in functions(path)]
    assert statistics.median(lengths) < MEDIAN_FUNCTION


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("path", python_files("tests/unit", "tests/simulation"), ids=relative)
def test_unit_tests_and_the_simulation_never_sleep(path: Path):
    sleeps = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "attr", None) == "sleep" or getattr(node.func, "id", None) == "sleep")
    ]
    assert sleeps == []


def test_no_test_is_skipped_or_stubbed():
    # hosts of their own and a second user are only root's to have
    allowed = "tests/integration/security_root.py"
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in python_files("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "importorskip"}
        if relative(path) != allowed
    ]
    assert found == []


def test_nothing_names_this_machine_or_a_package_host():
    here = "tests/house/test_source.py"
    found = [
        f"{relative(path)}: {match.group()}"
        for path in text_files()
        if relative(path) != here
        for match in FORBIDDEN.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_suppressed_finding_has_its_reason_beside_it():
    suppression = re.compile(
        r"#\s*(?:noqa|type: ignore|pyright: ignore)(?P<codes>[:\[][\w\s,:\[\]-]*?)?(?P<reason>\s+#.*)?$"
    )
    found = []
    for path in OURS:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = suppression.search(line)
            if match is not None and not (match["codes"] and match["reason"]):
                found.append(f"{relative(path)}:{number}")
    assert found == []


def test_every_linter_rule_that_is_off_has_its_reason_beside_it():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bare = []
    explained = False
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if re.fullmatch(r'"[A-Z]{1,4}\d*",( #.*)?', stripped):
            if "#" not in stripped and not explained:
                bare.append(f"{number}: {stripped}")
        else:
            explained = stripped.startswith("#")
    assert bare == []
