import os

from scaler.worker.stacks import MOST_CHARACTERS, Stacks, stack_of

DUMP = """Thread 0x00007f0000000002 (most recent call first):
  File "/lib/threading.py", line 3 in wait
  File "/x/scaler/worker/slot.py", line 98 in _run_calls
  File "/x/scaler/worker/slot.py", line 76 in _run_ticket

Current thread 0x00007f0000000001 (most recent call first):
  File "/project/code.py", line 12 in inner
  File "/project/code.py", line 7 in outer
  File "/x/scaler/worker/slot.py", line 98 in _run_calls
  File "/x/scaler/worker/slot.py", line 76 in _run_ticket
  File "/x/scaler/worker/slot.py", line 60 in run
"""
FIRST, SECOND = 0x7F0000000001, 0x7F0000000002
SAID = """it was in (most recent call last):
  File "/project/code.py", line 7 in outer
  File "/project/code.py", line 12 in inner"""


def test_of_a_dump_the_calls_of_the_task_are_shown_as_a_traceback_does():
    assert stack_of(FIRST, DUMP) == SAID
    assert stack_of(SECOND, DUMP) == 'it was in (most recent call last):\n  File "/lib/threading.py", line 3 in wait'


def test_of_several_dumps_the_last_one_counts():
    assert stack_of(FIRST, DUMP.replace("line 12", "line 11") + DUMP) == SAID


def test_a_dump_that_is_not_all_there_is_none():
    for end in range(len(DUMP) - 200):
        assert stack_of(FIRST, DUMP[:end]) in ("", SAID)
    assert stack_of(3, DUMP) == ""


def test_of_a_very_deep_stack_the_innermost_calls_are_shown():
    deep = "Thread 0x00007f0000000001 (most recent call first):\n" + 100 * '  File "a.py", line 1 in f\n' + "  ...\n"
    shown = stack_of(FIRST, deep)
    assert shown.startswith('it was in (most recent call last):\n  ...\n  File "a.py", line 1 in f')
    longer = deep.replace("a.py", "a" * 200).replace("line 1 in", "line 2 in", 1)
    lines = stack_of(FIRST, longer).splitlines()
    assert lines[1] == "  ..."
    assert lines[-1].endswith("line 2 in f")
    assert MOST_CHARACTERS - 250 < sum(len(line) + 1 for line in lines[2:]) <= MOST_CHARACTERS


def test_what_was_not_asked_for_is_not_told_and_what_was_once():
    stacks = Stacks()
    try:
        os.write(stacks.fileno(), DUMP.encode())
        assert stacks.take() == ()
        stacks.want(1, SECOND)
        stacks.want(0, FIRST)
        assert [slot for slot, _ in stacks.take()] == [1, 0]
        assert stacks.take() == ()
        stacks.want(0, FIRST)
        assert stacks.take() == ()
        os.write(stacks.fileno(), DUMP.encode())
        assert stacks.take() == ((0, SAID),)
        assert os.fstat(stacks.fileno()).st_size == 0
    finally:
        stacks.close()
