"""How a command ends: every failure has its exit code and one clear message."""

from enum import IntEnum
from typing import Self

from scaler import errors


class ExitCode(IntEnum):
    """What a command tells whoever started it; each member says when."""

    description: str

    def __new__(cls, code: int, description: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    ENDED = (
        0,
        "Done, or ended as told: by SIGTERM, SIGHUP, Ctrl-C, a client's `shutdown()`, or the end of its walltime.",
    )
    FAILED = (
        1,
        (
            "A worker cluster had no scheduler for `--death-timeout`, or could not hand everything back in time; "
            "or there is no durable work to drop; or a defect of ours, with a traceback."
        ),
    )
    BAD_INPUT = (
        2,
        (
            "An option, variable, file, address or key cannot be used, and nothing was started; or no worker could do "
            "its `--preload`."
        ),
    )
    NOT_AUTHORIZED = 3, "The scheduler does not know the key of this worker cluster."
    OTHER_VERSION = 4, "The scheduler has another version of Python or of the protocol."
    SUPERSEDED = 5, "Another scheduler has taken over this address."
    LOST = 6, "Any other failure that has a name; the message says which."
    INTERRUPTED = 130, "Ctrl-C before anything was started."
    TERMINATED = 143, "SIGTERM before anything was started."


#: first come first served
_CODES: tuple[tuple[type[errors.ScalerError], ExitCode], ...] = (
    (errors.ConfigurationError, ExitCode.BAD_INPUT),
    (errors.AuthenticationError, ExitCode.NOT_AUTHORIZED),
    (errors.VersionMismatchError, ExitCode.OTHER_VERSION),
    (errors.SupersededError, ExitCode.SUPERSEDED),
    (errors.ScalerError, ExitCode.LOST),
)


def exit_code(error: errors.ScalerError) -> ExitCode:
    """What a failure ends a command with."""
    return next(code for kind, code in _CODES if isinstance(error, kind))
