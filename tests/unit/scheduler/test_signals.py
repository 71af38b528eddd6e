import contextlib
import os
import signal

from scaler.scheduler.signals import Signals


def test_signals_are_kept_in_order_until_they_are_taken():
    with contextlib.closing(Signals()) as signals:
        assert signals.take() == []
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.take() == [signal.SIGTERM, signal.SIGINT]
        assert signals.take() == []


def test_a_hangup_is_kept_too_unless_it_was_ignored_before():
    before = signal.getsignal(signal.SIGHUP)
    try:
        for handler, expected in ((signal.SIG_DFL, [signal.SIGHUP]), (signal.SIG_IGN, [])):
            signal.signal(signal.SIGHUP, handler)
            with contextlib.closing(Signals()) as signals:
                os.kill(os.getpid(), signal.SIGHUP)
                assert signals.take() == expected
    finally:
        signal.signal(signal.SIGHUP, before)


def test_reminders_of_batch_systems_are_passed_over():
    with contextlib.closing(Signals()) as signals:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
            os.kill(os.getpid(), number)
        assert signals.take() == []


def test_what_was_before_is_restored():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    Signals().close()
    assert [signal.getsignal(number) for number in numbers] == before
