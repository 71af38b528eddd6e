"""What workers do: one source file in, its census out. Nothing here knows of schedulers."""

import ast
import heapq
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST = 10

Block = ast.stmt | ast.excepthandler | ast.match_case


@dataclass(frozen=True, slots=True)
class ModuleCensus:
    """What one file holds; `unparsable` says why it could not be read, and then it holds nothing."""

    module: str
    size_bytes: int
    lines: int = 0
    functions: int = 0
    async_functions: int = 0
    classes: int = 0
    #: (lines, qualified name), the longest first
    longest: tuple[tuple[int, str], ...] = ()
    #: dotted names as they are imported, of modules or of what is in them
    imports: tuple[str, ...] = ()
    unparsable: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A census and the seconds that the worker spent on it."""

    census: ModuleCensus
    seconds: float


def module_name(path: Path, root: Path) -> str:
    """The name a file below `root` is imported by."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def take(path: str, root: str) -> Taken:
    """The task: read and parse one file of the library below `root`."""
    started = time.perf_counter()
    census = census_of(
        Path(path).read_bytes(), module_name(Path(path), Path(root)), is_package=path.endswith("__init__.py")
    )
    return Taken(census, time.perf_counter() - started)


def census_of(source: bytes, module: str, *, is_package: bool = False) -> ModuleCensus:
    """Count what the source defines."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return ModuleCensus(module, len(source), unparsable=type(error).__name__)
    package = module if is_package else module.rpartition(".")[0]
    functions = async_functions = classes = 0
    lengths: list[tuple[int, str]] = []
    imports: set[str] = set()
    for node, name in statements(tree.body, module):
        match node:
            case ast.ClassDef():
                classes += 1
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions += 1
                async_functions += isinstance(node, ast.AsyncFunctionDef)
                lengths.append(((node.end_lineno or node.lineno) - node.lineno + 1, name))
            case ast.Import() | ast.ImportFrom():
                imports.update(imported_names(node, package))
            case _:
                pass
    return ModuleCensus(
        module,
        len(source),
        source.count(b"\n"),
        functions,
        async_functions,
        classes,
        tuple(heapq.nsmallest(LONGEST, lengths, key=lambda found: (-found[0], found[1]))),
        tuple(sorted(imports)),
    )


def statements(body: list[ast.stmt], prefix: str) -> Iterator[tuple[Block, str]]:
    """All statements, however deep, and the qualified names of those that define something."""
    waiting: list[tuple[Block, str]] = [(node, prefix) for node in reversed(body)]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            prefix = f"{prefix}.{node.name}"
        yield node, prefix
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            waiting += [(child, prefix) for child in reversed(getattr(node, field, ()))]


def imported_names(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The absolute dotted names that a statement imports within a package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        above = package.split(".")
        above = above[: len(above) - node.level + 1]
        base = ".".join([*above, base]) if base else ".".join(above)
    return [base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names]
