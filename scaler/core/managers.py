"""The parts of the core, in one record: each deciding module is given it and asks them in turn."""

from dataclasses import dataclass, field

from scaler.core.clients import ClientManager
from scaler.core.config import CoreConfig
from scaler.core.functions import FunctionTable
from scaler.core.objects import ObjectManager
from scaler.core.outbox import Outbox
from scaler.core.tasks import TaskManager
from scaler.core.timers import Timers
from scaler.core.workers import WorkerManager


@dataclass(frozen=True, slots=True)
class Managers:
    """Who owns what; none of them knows another."""

    config: CoreConfig
    tasks: TaskManager
    workers: WorkerManager
    clients: ClientManager
    functions: FunctionTable
    objects: ObjectManager
    timers: Timers = field(default_factory=Timers)
    outbox: Outbox = field(default_factory=Outbox)
