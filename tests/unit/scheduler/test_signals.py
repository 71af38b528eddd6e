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


def test_what_was_before_is_restored():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    Signals().close()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
