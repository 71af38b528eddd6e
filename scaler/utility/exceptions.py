"""The exceptions of Scaler under the path that its users know; they are those of `scaler.errors`."""

from scaler.errors import (
    ClientQuitException,
    DeserializeObjectError,
    DisconnectedError,
    MissingObjects,
    ProcessorDiedError,
    SchedulerError,
    TaskExceptionNotSerializableError,
)

__all__ = [
    "ClientQuitException",
    "DeserializeObjectError",
    "DisconnectedError",
    "MissingObjects",
    "ProcessorDiedError",
    "SchedulerError",
    "TaskExceptionNotSerializableError",
]
