"""The project's own source, read as text and as syntax trees."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Every file of the repository that people read or run, in order; what tools leave behind is no part of it."""
    folders = ("scaler", "tests", "docs", "benchmarks", "examples")
    kinds = (".py", ".md", ".toml", ".patch", ".sh", ".json", ".yaml")
    inside = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds)
    at_top = (path for path in ROOT.iterdir() if path.suffix in kinds)
    others = (ROOT / name for name in (".ci/run", ".gitignore", "LICENSE", "Makefile"))
    return sorted([*inside, *at_top, *others])


def relative(path: Path) -> str:
    """The path as seen from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """The full name of every module or name that a file imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method of a file, with its qualified name."""
    yield from _functions_in(tree(path), "")


def _functions_in(parent: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from _functions_in(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from _functions_in(node, f"{prefix}{node.name}.")
        else:
            yield from _functions_in(node, prefix)
