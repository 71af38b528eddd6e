"""Durable works as the ledger of one of their clients sees them."""

from scaler.ids import BatchId, Epoch, Incarnation, Range
from scaler.ledger.events import BatchAttached, LinkUp, Received, Reject, Say
from scaler.ledger.ledger import Ledger
from scaler.protocol import BatchOptions, CancelTasks, NeedTasks
from tests.unit.core.examples import F

ROOM_BYTES = 1 << 20
BATCH = BatchId(Incarnation(500), 1)


def test_tasks_of_another_client_that_the_scheduler_has_lost_are_lost():
    ledger = Ledger(work="nightly")
    attached = BatchAttached(BATCH, F, BatchOptions(durable="nightly"), 5)
    ledger.handle([LinkUp(Epoch(1), resumed=False), attached], 0.0, ROOM_BYTES)
    said = ledger.handle([Received(NeedTasks(BATCH, 2, 9))], 0.0, ROOM_BYTES)
    assert said[0] == Say(CancelTasks(BATCH, (Range(2, 5),)))
    [rejected] = [one for one in said if isinstance(one, Reject)]
    assert (rejected.ranges, rejected.failure.cause) == ((Range(2, 5),), "object-lost")
    ledger.check()
