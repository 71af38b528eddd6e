"""The table of transitions is the only way a task moves, and all of it is used."""

import ast

from scaler.core.lifecycle import ENDED, TRANSITIONS, State, Trigger
from tests.house.source import functions, python_files, relative, tree

CORE = python_files("scaler/core")
#: the states in which tasks enter the tables
FIRST = {State.QUEUED, State.HELD}


def test_only_one_function_asks_the_table_where_a_task_goes():
    callers = [
        (relative(path), name)
        for path in CORE
        for name, function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "target"
    ]
    assert callers == [("scaler/core/tasks.py", "TaskManager.advance")]


def test_no_span_is_ever_given_another_state():
    assigned = [
        f"{relative(path)}:{node.lineno}"
        for path in CORE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "state" and isinstance(node.ctx, ast.Store)
    ]
    assert assigned == []


def test_only_the_task_manager_puts_spans_into_a_batch():
    changing = {"add", "drop", "move"}
    changers = {
        relative(path)
        for path in CORE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in changing
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "spans"
    }
    assert changers == {"scaler/core/tasks.py"}


def test_every_state_can_be_reached():
    reached = set(FIRST)
    while True:
        further = {after for (before, _), afters in TRANSITIONS.items() if before in reached for after in afters}
        if further <= reached:
            break
        reached |= further
    assert reached == set(State)


def test_every_trigger_is_in_the_table():
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_every_trigger_is_pulled_by_the_core():
    pulled = {
        node.attr
        for path in CORE
        if path.name != "lifecycle.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Trigger"
    }
    assert {trigger.name for trigger in Trigger} == pulled


def test_what_has_ended_has_ended():
    assert not {before for before, _ in TRANSITIONS} & ENDED
