"""What may be raised where it would end a loop or a coroutine, as PEP 479 has it for generators."""


def not_an_end(error: BaseException) -> BaseException:
    """The exception of a task; a `RuntimeError` with it as its cause, where a loop would take it for its own end.

    asyncio's futures refuse it, too, and whoever awaits one would wait for ever.
    """
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    ending = RuntimeError(f"the task raised {type(error).__name__}")
    ending.__cause__ = error
    return ending
