"""`scaler durable`: what it asks, shows, and how it ends."""

import json

import pytest

from scaler.cli import works
from scaler.cli.commands import invoke
from scaler.cli.endings import ExitCode
from scaler.client.questions import Answer, Question
from scaler.errors import ScalerError
from scaler.ledger.events import DropAsked, WorksAsked
from scaler.protocol import WorkDropped, WorksListed, WorkSummary

Captured = pytest.CaptureFixture[str]
LISTED = (WorkSummary("nightly", 1204, 3, 12_000_000), WorkSummary("old", 0, 0, 512, "it is damaged"))


class Io:
    """An I/O thread that has answers, and what it was asked for which address."""

    answers: dict[Question, Answer | ScalerError]
    asked: list[tuple[str, Question]]

    def __init__(self, config: object, way: str) -> None:
        self.left = False
        self.address = config.address  # type: ignore[attr-defined]  # a client's
        del way

    def connect(self) -> None: ...

    def ask(self, question: Question) -> Answer:
        Io.asked.append((self.address, question))
        answer = Io.answers[question]
        if isinstance(answer, ScalerError):
            raise answer
        return answer

    def leave(self, reason: str) -> None:
        assert reason


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "IoThread", Io)
    monkeypatch.setattr(works, "way_to_scheduler", lambda *_: "")
    Io.asked = []
    Io.answers = {
        WorksAsked(): WorksListed(LISTED),
        DropAsked("nightly"): WorkDropped("nightly"),
        DropAsked("other"): WorkDropped("other", "there is no durable work 'other'"),
    }


def test_works_are_listed_in_columns(capsys: Captured):
    assert invoke("scaler", "", ["durable", "list", "tcp://host:1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name     unfinished  ended       size  problem",
        "nightly       1,204      3      12 MB",
        "old               0      0  512 bytes  it is damaged",
    ]
    assert Io.asked == [("tcp://host:1", WorksAsked())]


def test_works_are_listed_for_programs(capsys: Captured):
    assert invoke("scaler", "", ["durable", "list", "tcp://host:1", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {"name": "nightly", "unfinished": 1204, "ended": 3, "size_bytes": 12_000_000, "problem": ""}
    assert second["problem"] == "it is damaged"


def test_that_there_are_none_is_said(capsys: Captured, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALER_ADDRESS", "tcp://elsewhere:2")
    Io.answers[WorksAsked()] = WorksListed(())
    assert invoke("scaler", "", ["durable", "list"]) == 0
    assert capsys.readouterr().out == "there are no durable works\n"
    assert Io.asked == [("tcp://elsewhere:2", WorksAsked())]


def test_a_work_is_dropped_without_a_question(capsys: Captured):
    assert invoke("scaler", "", ["durable", "drop", "nightly", "tcp://host:1"]) == 0
    assert capsys.readouterr().out == "dropped the durable work nightly, with its tasks and results\n"


def test_a_work_that_there_is_not_is_one_line(capsys: Captured):
    assert invoke("scaler", "", ["durable", "drop", "other", "tcp://host:1"]) == ExitCode.FAILED
    assert capsys.readouterr() == ("", "scaler: there is no durable work 'other'\n")


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_a_name_that_none_can_have_is_one_line(capsys: Captured, name: str):
    assert invoke("scaler", "", ["durable", "drop", name, "tcp://host:1"]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err.startswith("scaler: NAME must be ")


def test_no_scheduler_is_started_for_it(capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: object):
    monkeypatch.delenv("SCALER_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert invoke("scaler", "", ["durable", "list"]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err.startswith("scaler: no scheduler address: give one, as in 'scaler durable list")
