from itertools import pairwise

import pytest

from scaler.core import functions
from scaler.core.functions import FunctionTable
from scaler.ids import FunctionId
from scaler.protocol.code import with_code
from tests.unit.core.examples import ALICE, BOB, F, G, X, Y

H = FunctionId(b"h" * 16)


@pytest.fixture
def table() -> FunctionTable:
    return FunctionTable(idle_bytes=10)


def test_bytes_are_kept_while_a_batch_names_the_function(table: FunctionTable):
    table.use(F, ALICE)
    assert table.frames(F) is None
    table.define(F, (b"x" * 100,))
    table.define(G, (b"y",))
    assert table.frames(F) == (b"x" * 100,)
    table.check()


def test_bytes_that_are_here_already_stay(table: FunctionTable):
    table.define(F, (b"first",))
    table.define(F, (b"second",))
    assert table.frames(F) == (b"first",)
    table.check()


def test_of_the_functions_nobody_names_those_unused_longest_go_when_they_are_too_large(table: FunctionTable):
    for function in (F, G, H):
        table.use(function, ALICE)
        table.define(function, (b"12345",))
    for function in (G, F, H):
        table.release(function)
        table.check()
    assert [table.frames(function) for function in (F, G, H)] == [(b"12345",), None, (b"12345",)]
    assert len(table) == 2


def test_the_newest_stays_whatever_its_size(table: FunctionTable):
    table.define(F, (b"x" * 100,))
    assert table.frames(F) is not None
    table.define(G, (b"y",))
    assert table.frames(F) is None
    assert len(table) == 1
    table.check()


def test_too_many_small_functions_go_too(table: FunctionTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions, "_IDLE_FUNCTIONS", 2)
    for function in (F, G, H):
        table.define(function, (b"",))
    assert [table.frames(function) for function in (F, G, H)] == [None, (b"",), (b"",)]
    table.check()


def test_clusters_that_asked_are_told_once(table: FunctionTable):
    table.use(F, ALICE)
    for peer in (X, Y, X):
        table.ask(F, peer, [ALICE])
    table.ask(G, Y, [ALICE])
    assert table.define(F, (b"x",)) == [X, Y]
    assert table.define(F, (b"x",)) == []
    assert table.define(G, (b"y",)) == [Y]


def test_of_too_much_that_is_asked_for_the_oldest_is_forgotten(table: FunctionTable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(functions, "_MOST_ASKED", 2)
    for function in (F, G, H):
        table.ask(function, X, [ALICE])
    assert [table.define(function, (b"x",)) for function in (F, G, H)] == [[], [X], [X]]


def test_what_a_client_leaves_is_dropped_unless_another_has_named_it_since(table: FunctionTable):
    for function, owner in ((F, ALICE), (G, ALICE), (H, BOB)):
        table.define(function, (b"x",))
        table.use(function, owner)
    table.use(G, BOB)
    for function in (F, G, G, H):
        table.release(function)
    table.drop_idle(ALICE)
    table.check()
    assert [table.frames(function) for function in (F, G, H)] == [None, (b"x",), (b"x",)]


def test_a_batch_whose_client_is_gone_leaves_nothing_that_no_other_names(table: FunctionTable):
    for function in (F, G, H):
        table.define(function, (b"x",))
        table.use(function, ALICE)
    table.use(G, BOB)
    table.use(H, BOB)
    table.release(H)
    for function in (F, G, H):
        table.give_up(function, ALICE)
    table.check()
    assert [table.frames(function) for function in (F, G, H)] == [None, (b"x",), (b"x",)]


def test_a_function_is_idle_only_when_the_last_batch_lets_it_go(table: FunctionTable):
    table.define(F, (b"x" * 100,))
    table.use(F, ALICE)
    table.use(F, ALICE)
    table.release(F)
    table.define(G, (b"y",))
    assert table.frames(F) is not None
    table.release(F)
    table.check()
    table.define(H, (b"z",))
    assert table.frames(F) is None


OTHER = FunctionId(b"o" * 16)


def coming_with(*archives: FunctionId) -> tuple[bytes]:
    """A function that came with these."""
    return (with_code(tuple((f"m{n}", archive) for n, archive in enumerate(archives)), b"x" * 90),)


def test_what_a_function_came_with_stays_as_long_as_a_batch_names_it():
    table = FunctionTable(idle_bytes=300)
    table.define(G, (b"y" * 90,))
    table.define(F, coming_with(G, H))
    table.use(F, ALICE)
    table.use(F, ALICE)
    table.check()
    table.define(H, (b"z" * 90,))
    table.define(OTHER, (b"o" * 400,))
    table.release(F)
    assert None not in (table.frames(F), table.frames(G), table.frames(H))
    table.release(F)
    table.check()
    assert table.frames(OTHER) is None


def test_what_came_with_a_function_that_was_named_first_stays_too():
    table = FunctionTable(idle_bytes=200)
    table.use(F, ALICE)
    table.define(G, (b"y" * 90,))
    table.define(F, coming_with(G))
    table.check()
    table.define(H, (b"z" * 200,))
    assert table.frames(G) is not None


def test_a_chain_of_such_functions_is_followed_no_further(table: FunctionTable):
    names = [FunctionId(number.to_bytes(16, "big")) for number in range(3000)]
    for name, after in pairwise(names):
        table.define(name, coming_with(after))
        table.use(name, ALICE)
    table.check()
    for name in names[:-1]:
        table.release(name)
    table.check()


def test_what_came_with_a_function_may_be_named_by_a_batch_itself():
    table = FunctionTable(idle_bytes=200)
    table.define(G, (b"y",))
    table.define(F, coming_with(G, G))
    table.use(F, ALICE)
    table.use(G, ALICE)
    table.release(F)
    table.check()
    assert table.frames(G) is not None
    table.release(G)
    table.check()
