"""The pages keep to their own rules, and the generated parts are what the code says now."""

import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest

from docs import generate
from scaler import Client, errors
from tests.house.source import ROOT, relative

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
MUST_EXPLAIN = """
adaptive scaling, attempt, batch, chunk, client, column, concurrency, epoch, generation, group, horizontal scaling,
incarnation, ledger, link, lookahead, manifest, object, parallelism, parked, provider, retraction, ring, run, scheduler,
session, slot, span, tag, task, ticket, vertical scaling, walltime, worker, worker cluster, zygote
"""


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_architecture_page_is_what_the_code_says():
    page = text(generate.PAGE)
    assert generate.render(page) == page, "run: make docs"


def test_the_architecture_page_can_be_read_in_one_sitting():
    assert len(text(generate.PAGE).splitlines()) <= 300


def test_the_page_of_messages_is_what_the_code_says():
    page = text(generate.MESSAGES_PAGE)
    assert generate.render(page, generate.MESSAGES_PARTS) == page, "run: make docs"


def test_a_page_without_a_marked_part_cannot_be_generated():
    with pytest.raises(ValueError, match="generated: packages"):
        generate.render("a page without marks")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_within_the_repository_leads_somewhere(page: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_target_that_a_page_names_exists(page: Path):
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text(page)))
    assert named - targets == set()


@pytest.mark.parametrize("page", DECISIONS, ids=relative)
def test_a_decision_says_context_choice_and_price_on_one_screen(page: Path):
    lines = text(page).splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Choice", "## Price"]
    assert lines[0].startswith(f"# {page.name[:4]} ")
    assert len(lines) <= 40


def test_decisions_are_numbered_without_gaps():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def glossary() -> list[str]:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", text(ROOT / "docs/glossary.md"), re.MULTILINE)
    return [row.strip() for row in rows[1:]]


def test_the_glossary_explains_every_word_of_the_design():
    wanted = {word.strip() for word in MUST_EXPLAIN.replace("\n", " ").split(",")}
    assert wanted - set(glossary()) == set()


def test_the_glossary_is_in_order_and_explains_each_word_once():
    assert [(first, second) for first, second in pairwise(glossary()) if first >= second] == []


def test_the_page_of_the_client_has_every_name_and_every_error():
    code = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text(ROOT / "docs/client.md")))))
    names = [name for name in dir(Client) if not name.startswith("_")]
    found = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]
    assert [name for name in (*names, *found) if name not in code] == []


def test_the_contributing_page_fits_one_screen():
    assert len(text(ROOT / "CONTRIBUTING.md").splitlines()) <= 40
