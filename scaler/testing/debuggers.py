"""Whether somebody looks at this program by a debugger of the standard library; others hold all threads."""

import sys


def is_at_prompt() -> bool:
    """Whether a thread stands at the prompt of pdb, or of what is made of it."""
    for innermost in sys._current_frames().values():  # noqa: SLF001  # documented, for debugging
        frame = innermost
        while frame is not None:
            if frame.f_globals.get("__name__") == "bdb":
                return True
            frame = frame.f_back  # type: ignore[assignment]  # None is the end
    return False
