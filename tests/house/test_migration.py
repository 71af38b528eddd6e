"""Every name on the page for users of Scaler exists or is accepted with a warning, and none that warns is left out."""

import importlib
import inspect
import re

import pytest

from scaler import Client, ScalerFuture, SchedulerClusterCombo
from scaler.cli import options, settings
from scaler.client.discarded import REMEDIES as OF_CLIENT
from scaler.cluster.discarded import REMEDIES as OF_COMBO
from tests.house.source import ROOT

PAGE = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
WARNING = {"Client": OF_CLIENT, "SchedulerClusterCombo": OF_COMBO}


def rows(section: str) -> list[tuple[str, str]]:
    """Each name of a section's table, with what is said of it."""
    found = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", SECTIONS[section], re.MULTILINE)
    return [(name, said) for names, said in found for name in re.findall(r"`([^`]+)`", names)]


def accepted(section: str) -> set[str]:
    """What the table of a section may name."""
    kind = {"Client": Client, "ScalerFuture": ScalerFuture, "SchedulerClusterCombo": SchedulerClusterCombo}[section]
    keywords = {f"{name}=" for name in (*inspect.signature(kind.__init__).parameters, *WARNING.get(section, ()))}
    methods = {f"{name}()" for name in dir(kind) if callable(getattr(kind, name))}
    return keywords | methods | {name for name in dir(kind) if not callable(getattr(kind, name))}


def test_the_page_has_a_table_for_each_thing():
    expected = ["Imports", "Client", "ScalerFuture", "SchedulerClusterCombo", "scaler_scheduler", "scaler_worker"]
    assert [section for section in SECTIONS if rows(section)] == expected


@pytest.mark.parametrize("name", [name for name, _ in rows("Imports")])
def test_every_name_can_be_imported(name: str):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("section", ["Client", "ScalerFuture", "SchedulerClusterCombo"])
def test_every_keyword_and_method_is_there(section: str):
    assert [name for name, _ in rows(section) if name not in accepted(section)] == []


@pytest.mark.parametrize("section", WARNING)
def test_what_warns_is_said_to_warn_and_nothing_else(section: str):
    said = {name.removesuffix("=") for name, text in rows(section) if text.startswith("warns")}
    assert said == set(WARNING[section])


@pytest.mark.parametrize("section", ["scheduler", "worker"])
def test_every_option_is_accepted(section: str):
    named = dict(rows(f"scaler_{section}"))
    spelled = {word for one in options.parameters(section) for word in one.opts}
    assert named.keys() - spelled == set()
    ignored = {word for one in settings.DISCARDED[section] for word in one.spellings}
    assert {name for name, text in named.items() if text.startswith("says why")} == ignored
