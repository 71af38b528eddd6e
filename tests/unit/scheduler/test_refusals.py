from scaler.core.events import Note
from scaler.refusals import BURST, LONGEST, PER_S, Refusals
from scaler.scheduler.notes import Notes


def test_a_line_that_a_peer_made_long_is_cut():
    lines: list[str] = []
    refusals = Refusals(lines.append)
    refusals.report("x" * LONGEST, now=1.0)
    refusals.report("x" * 10_000, now=1.0)
    assert lines == ["x" * LONGEST, "x" * LONGEST + " …"]


def test_the_first_refusals_are_shown_and_a_flood_is_counted():
    lines: list[str] = []
    refusals = Refusals(lines.append)
    for number in range(BURST + 30):
        refusals.report(f"refused {number}", now=100.0)
    assert lines == [f"refused {number}" for number in range(BURST)]
    refusals.tick(100.0 + 1 / PER_S)
    assert lines[BURST:] == ["refused 30 more, not shown one by one"]
    refusals.tick(200.0)
    assert len(lines) == BURST + 1


def test_what_was_held_back_is_told_before_what_comes_next():
    lines: list[str] = []
    refusals = Refusals(lines.append)
    for number in range(BURST + 1):
        refusals.report(f"refused {number}", now=100.0)
    refusals.report("refused later", now=101.0)
    assert lines[BURST:] == ["refused 1 more, not shown one by one", "refused later"]


def test_no_more_lines_are_saved_up_than_one_burst():
    lines: list[str] = []
    refusals = Refusals(lines.append)
    refusals.tick(1e6)
    for number in range(2 * BURST):
        refusals.report(f"refused {number}", now=1e6)
    assert len(lines) == BURST


def joined(number: int) -> Note:
    return Note("info", "a cluster joined", (("cluster", f"c{number}"),))


def test_a_flood_of_notes_of_one_kind_is_counted_and_other_kinds_are_told():
    told: list[Note] = []
    notes = Notes(told.append)
    for number in range(1000):
        notes.report(joined(number), now=100.0)
    died = Note("warning", "a worker died", (("worker", 3),))
    notes.report(died, now=100.0)
    assert told == [*map(joined, range(BURST)), died]
    notes.tick(100.0)
    assert len(told) == BURST + 1
    notes.tick(100.0 + 1 / PER_S)
    notes.tick(200.0)
    assert told[BURST + 1 :] == [Note("info", "a cluster joined: 980 more, not shown one by one")]


def test_notes_that_were_held_back_are_told_of_before_the_next_of_their_kind():
    told: list[Note] = []
    notes = Notes(told.append)
    for number in range(BURST + 1):
        notes.report(joined(number), now=100.0)
    notes.report(joined(99), now=101.0)
    assert told[BURST:] == [Note("info", "a cluster joined: 1 more, not shown one by one"), joined(99)]


def test_long_fields_of_a_note_are_cut():
    told: list[Note] = []
    number = 10**LONGEST
    fields = (("name", "x" * LONGEST), ("reason", "y" * (LONGEST + 1)), ("worker", number))
    Notes(told.append).report(Note("info", "a cluster joined", fields), now=1.0)
    shown = (("name", "x" * LONGEST), ("reason", "y" * LONGEST + " …"), ("worker", number))
    assert told == [Note("info", "a cluster joined", shown)]
