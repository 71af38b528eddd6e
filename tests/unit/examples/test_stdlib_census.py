import random
from pathlib import Path

from examples.stdlib_census import report
from examples.stdlib_census.parsing import ModuleCensus, census_of, module_name

SOURCE = b"""\
import os.path, sys
from . import sibling
from ..above import thing as renamed
from json import *

class Outer:
    def method(self):
        if self:
            async def inner():
                import re
        return inner

try:
    import missing
except ImportError:
    def fallback(): pass
else:
    match sys.argv:
        case []:
            def chosen(): pass
"""


def test_everything_that_is_defined_counts_however_deep_it_stands():
    census = census_of(SOURCE, "package.sub.module")
    assert (census.lines, census.classes, census.functions, census.async_functions) == (20, 1, 4, 1)


def test_the_longest_functions_come_first_with_qualified_names_and_equals_by_name():
    assert census_of(SOURCE, "m").longest == (
        (5, "m.Outer.method"),
        (2, "m.Outer.method.inner"),
        (1, "m.chosen"),
        (1, "m.fallback"),
    )


def test_imports_are_absolute_wherever_they_stand():
    assert census_of(SOURCE, "package.sub.module").imports == (
        "json",
        "missing",
        "os.path",
        "package.above.thing",
        "package.sub.sibling",
        "re",
        "sys",
    )


def test_a_package_is_the_home_of_its_own_relative_imports():
    assert census_of(b"from . import a", "package", is_package=True).imports == ("package.a",)


def test_what_cannot_be_parsed_says_why_and_counts_nothing():
    assert census_of(b"def", "m") == ModuleCensus("m", 3, unparsable="SyntaxError")
    assert census_of(b"# coding: nonsense\n", "m").unparsable == "SyntaxError"


def test_a_file_is_named_as_it_is_imported():
    root = Path("/lib")
    assert module_name(root / "os.py", root) == "os"
    assert module_name(root / "email/mime/text.py", root) == "email.mime.text"
    assert module_name(root / "email/__init__.py", root) == "email"


def test_the_import_graph_has_modules_only_and_no_loops():
    censuses = [
        ModuleCensus("a", 1, imports=("a.own", "b.c.thing", "b.other", "sys.argv", "elsewhere")),
        ModuleCensus("b", 1),
        ModuleCensus("b.c", 1, imports=("a",)),
    ]
    assert report.import_graph(censuses) == {"a": {"b.c", "b", "sys"}, "b": set(), "b.c": {"a"}}


def test_the_order_of_arrival_does_not_change_the_report():
    censuses = [census_of(SOURCE, f"package{number}.module") for number in range(20)]
    shuffled = random.Random(1).sample(censuses, len(censuses))
    assert report.tables(shuffled) == report.tables(censuses)


def test_a_table_puts_names_left_and_numbers_right():
    assert report.aligned(("Name", "lines"), [("a", 1234), ("long name", 5)]).splitlines() == [
        "Name       lines",
        "────────────────",
        "a          1,234",
        "long name      5",
    ]
