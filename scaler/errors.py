"""Every exception of the project, one class for each remedy; `scaler.utility.exceptions` re-exports the old names."""


class ScalerError(Exception):
    """The root of all our exceptions: `except ScalerError` catches whatever is not the task's own."""


class ConfigurationError(ScalerError):
    """An option, an environment variable or a configuration file holds what cannot be used; the text names where."""


class AddressError(ConfigurationError):
    """An address is not `tcp://host:port`, `ipc://path` or `host:port`, or cannot be listened on."""


class KeyFileError(ConfigurationError):
    """A key file or key directory is missing, malformed, or readable by others; the text names it and the mend."""


class InsecureError(ConfigurationError):
    """An address that others can reach was asked for without encryption and without the flag that says so."""


class SchedulerError(ScalerError):
    """The scheduler refused a request or could not serve it."""


class DurableError(SchedulerError):
    """A durable work cannot be opened, is not there any more, or cannot do what was asked of it; the text says why."""


class ProtocolError(ScalerError):
    """A peer sent what is no message, breaks a limit, or what its role may not send."""


class VersionMismatchError(ScalerError):
    """Client, scheduler and workers differ in protocol, Python or pickle version; the text is a table of both sides."""


class AuthenticationError(ScalerError):
    """The scheduler does not know this key; the text names the key file used and the one to copy."""


class ParkingError(ScalerError):
    """Too many tasks of a worker cluster wait for tasks of their own; `--max-parked` says how many may."""


class DisconnectedError(ScalerError):
    """No scheduler answered for `timeout_seconds`; the work of this client cannot be finished."""


class ClientQuitException(ScalerError):
    """The client was disconnected and is used again, or its work was dropped by `clear()` or `shutdown()`."""


class SupersededError(ScalerError):
    """Another scheduler with a higher generation took this address over."""


class TaskError(ScalerError):
    """A task raised an exception that cannot be pickled; it carries the type's name and the full remote text."""

    def __init__(self, message: str, type_name: str = "", traceback_text: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.traceback_text = traceback_text

    def __reduce__(self) -> tuple[type["TaskError"], tuple[str, str, str]]:
        return type(self), (str(self), self.type_name, self.traceback_text)


class TaskExceptionNotSerializableError(TaskError):
    """Scaler's name for a task's exception that cannot be pickled."""


class WorkerDiedError(ScalerError):
    """The worker process died while it ran this task; the text has signal or exit code and its last stderr lines."""


class TaskTimeoutError(ScalerError):
    """A task ran longer than its `timeout`; the text shows the stack it was in."""


class MemoryLimitError(WorkerDiedError):
    """A task passed the memory limit of its worker; the text has the limit and the peak."""


class WalltimeError(ScalerError):
    """A task needs longer than any allocation leaves; the text names both figures."""


class UnknownTagError(ScalerError):
    """No worker has, or ever had, this tag; the text lists the known ones."""


class GraphError(ScalerError, ValueError):
    """A graph has a cycle, lacks a key, or is asked for one it does not have; nothing of it was run."""


class SerializationError(ScalerError):
    """A function, an argument or a result cannot be pickled; the text names the attribute path."""


class DeserializeObjectError(SerializationError):
    """A function or a value cannot be unpickled where it is needed, e.g. because a module is missing there."""


class MissingObjects(ScalerError):
    """An object reference is used after its object was freed by `clear()`."""


class StoreFullError(ScalerError):
    """A value found no room in the memory and on the disk of its host; the text has what there is of both."""


class ObjectLostError(ScalerError):
    """The only copy of a value was lost with its host and cannot be made again."""


ProcessorDiedError = WorkerDiedError
