"""What can go wrong with the logs of durable works, one class for each remedy."""

from pathlib import Path

from scaler.errors import ConfigurationError, ScalerError


class WorkFolderError(ConfigurationError):
    """The folder of durable works cannot be used: others may enter it, or another scheduler has it; the text says."""


class WorkNameError(ScalerError):
    """No durable work can have this name: it is empty, too long, or no text."""


class WorkError(ScalerError):
    """The log of a durable work cannot be used as asked for: `path` is its file, `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class DamagedWorkError(WorkError):
    """A log is not what was written: it must be set aside before its work can begin anew."""


class WorkDiskFullError(WorkError):
    """There is no room on the disk: nothing of what was asked for is kept, and it can be tried again when there is."""


class WorkFileError(WorkError):
    """A log could not be read or written, as the system says why: it may be tried again."""


class WorkExistsError(WorkError):
    """There is a work of this name already: open it, or drop it first."""


class WorkMissingError(WorkError):
    """There is no work of this name, or it is not open: make it, or open it first."""


class UnstorableRowError(WorkError):
    """A row is larger than a file can hold, or has numbers of more than 63 bits: cut it."""
