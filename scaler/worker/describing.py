"""What is told of a task that has no value: what it raised, in bytes, or which object it did not find."""

from scaler.errors import ObjectLostError, TaskExceptionNotSerializableError
from scaler.payload.diagnosis import too_large
from scaler.payload.exceptions import dump_exception
from scaler.protocol.codec import encode_failure
from scaler.protocol.columns import FAILED, MAX_VALUE_BYTES, RAISED, RAISED_RETRYABLE
from scaler.protocol.connection import LONGEST_TEXT
from scaler.protocol.options import Cause, Failure


def describe(
    error: BaseException, retry_on: tuple[type[BaseException], ...], note: str, own_frames: int = 1
) -> tuple[int, bytes]:
    """Status and bytes of what a task raised, with a note, and without the first frames, which are our own."""
    try:
        status = RAISED_RETRYABLE if retry_on and isinstance(error, retry_on) else RAISED
        data = dump_exception(error, own_frames, note)
        if len(data) > MAX_VALUE_BYTES:
            raise too_large("it", len(data))  # told as any that cannot be sent
    except Exception as own:  # noqa: BLE001  # an exception that breaks whoever looks at it
        text = f"{type(error).__name__}, which cannot be described: {type(own).__name__}"
        return RAISED, dump_exception(TaskExceptionNotSerializableError(text, type(error).__name__), 0, note)
    return status, data


def describe_loss(error: ObjectLostError, place: str) -> tuple[int, bytes]:
    """Status and bytes of a task whose object was not to be had."""
    return FAILED, encode_failure(Failure(Cause.OBJECT_LOST, str(error)[:LONGEST_TEXT], place))
