from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from scaler.core.config import CoreConfig
from scaler.core.scheduler import SchedulerCore
from tests.unit.scheduler.examples import EPOCH, Scheduler
from tests.unit.scheduler.fakes import FakeCore


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def real(opened: ExitStack) -> Scheduler:
    """With the real core, past its recovery window."""
    scheduler = Scheduler(opened, SchedulerCore(CoreConfig(recovery_s=0.0, recovery_max_s=0.0), EPOCH))
    scheduler.turn()
    return scheduler


@pytest.fixture
def fake(opened: ExitStack) -> Scheduler:
    return Scheduler(opened, FakeCore())
