from scaler.client.unattended import LOOK_EVERY_S, LOOKS, Unattended


def looks(unattended: Unattended, *work_waits: bool) -> list[bool]:
    told = []
    for waits in work_waits:
        assert unattended.due is not None
        told.append(unattended.look(work_waits=waits, now=unattended.due))
    return told


def test_nothing_is_due_while_nothing_is_known_or_workers_are_ready():
    unattended = Unattended()
    assert unattended.due is None
    unattended.learned(ready=True, now=1.0)
    assert unattended.due is None


def test_work_that_waits_two_seconds_without_a_worker_is_told_once():
    unattended = Unattended()
    unattended.learned(ready=False, now=1.0)
    assert looks(unattended, True, True, True) == [False, False, True]
    assert LOOK_EVERY_S * (LOOKS - 1) == 2.0
    assert unattended.due is None
    unattended.learned(ready=False, now=9.0)
    assert unattended.due is None


def test_only_looks_in_a_row_count():
    unattended = Unattended()
    unattended.learned(ready=False, now=1.0)
    assert looks(unattended, True, True, False, True, True) == [False] * 5
    unattended.learned(ready=True, now=9.0)
    assert unattended.due is None
    unattended.learned(ready=False, now=10.0)
    assert looks(unattended, True, True, True) == [False, False, True]
