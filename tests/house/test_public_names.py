"""What users may rely on: the names of the package, its commands, and its errors."""

import importlib.metadata
import inspect
import pickle
import tomllib

import pytest

import scaler
import scaler.testing
from scaler import errors
from scaler.utility import exceptions
from tests.house.source import ROOT

PUBLIC = [
    "Client",
    "MapFuture",
    "ObjectReference",
    "ProfilingInfo",
    "ScalerFuture",
    "SchedulerClusterCombo",
    "Serializer",
    "as_completed",
    "gather",
    "wait",
]
FOR_TESTS = ["InProcessCluster", "in_process_client"]
FIXTURES = ["scaler_client", "scaler_cluster"]
#: what users of Scaler import under these names
FAMILIAR_ERRORS = {
    "ClientQuitException",
    "DeserializeObjectError",
    "DisconnectedError",
    "MissingObjects",
    "ProcessorDiedError",
    "SchedulerError",
    "TaskExceptionNotSerializableError",
}
ERRORS = [found for _, found in inspect.getmembers(errors, inspect.isclass)]


def test_the_public_names_are_those_recorded():
    assert sorted(scaler.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_had_and_is_documented(name: str):
    assert inspect.getdoc(getattr(scaler, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        getattr(scaler, "Cleint")  # noqa: B009  # a type checker would see the plain form


def test_dir_lists_the_public_names():
    assert set(PUBLIC) <= set(dir(scaler))


def test_the_names_for_tests_of_users_are_those_recorded_and_documented():
    assert sorted(scaler.testing.__all__) == sorted(dir(scaler.testing)) == FOR_TESTS
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    for name in FOR_TESTS:
        assert inspect.getdoc(getattr(scaler.testing, name))
    assert [name for name in (*FOR_TESTS, *FIXTURES) if f"`{name}" not in page] == []
    with pytest.raises(AttributeError, match="no attribute 'out_process_client'"):
        getattr(scaler.testing, "out_process_client")  # noqa: B009  # a type checker would see the plain form


def test_pytest_finds_the_plugin():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    plugin = importlib.metadata.EntryPoint("scaler", found["scaler"], "pytest11").load()
    assert [name for name in FIXTURES if not hasattr(plugin, name)] == []


def test_pytest_does_not_complain_of_programs_that_have_imported_us_before():
    assert "PYTEST_DONT_REWRITE" in inspect.getdoc(scaler)


def test_every_command_is_there():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert sorted(scripts) == ["scaler", "scaler_cluster", "scaler_scheduler", "scaler_worker"]
    for target in scripts.values():
        assert callable(importlib.metadata.EntryPoint("script", target, "console_scripts").load())


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_documented_as_one_sentence_or_more(error: type[Exception]):
    assert error.__dict__.get("__doc__", "").rstrip().endswith(".")


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_one_of_ours(error: type[Exception]):
    assert issubclass(error, errors.ScalerError)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_survives_pickling_with_its_text(error: type[Exception]):
    again = pickle.loads(pickle.dumps(error("what happened")))  # noqa: S301  # our own bytes
    assert (type(again), str(again)) == (error, "what happened")


def test_the_errors_that_users_of_scaler_know_are_where_they_look_for_them():
    assert set(exceptions.__all__) == FAMILIAR_ERRORS
    for name in FAMILIAR_ERRORS:
        assert getattr(exceptions, name) is getattr(errors, name)
