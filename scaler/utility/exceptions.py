"""The exceptions that users of Scaler import from here; they are those of `scaler.errors`."""

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
