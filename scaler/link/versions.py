"""Which versions may talk to each other, and the table that says why not."""

from scaler.protocol.connection import Versions


def compatible(ours: Versions, theirs: Versions) -> bool:
    """Whether both sides read each other's messages and pickles."""
    return (ours.protocol, ours.python_minor, ours.pickle) == (theirs.protocol, theirs.python_minor, theirs.pickle)


def version_differences(theirs: Versions, ours: Versions) -> str:
    """What does not fit, in one line: each time theirs first."""
    named = (("protocol", "protocol"), ("python", "python_minor"), ("pickle", "pickle"))
    found = [(name, getattr(theirs, field), getattr(ours, field)) for name, field in named]
    return " ".join(f"{name}={their}≠{our}" for name, their, our in found if their != our)


def version_table(ours: Versions, theirs: Versions) -> str:
    """Both sides' versions, one line each, the ones that differ marked."""
    rows = [("", "here", "scheduler")]
    rows += [
        (label, str(getattr(ours, field)), str(getattr(theirs, field)))
        for label, field in (
            ("protocol", "protocol"),
            ("Python", "python_minor"),
            ("pickle", "pickle"),
            ("build", "build"),
        )
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + ("   <- differs" if row[1] != row[2] and row[0] not in ("", "build") else "")
        for row in rows
    ]
    return "\n".join(lines)
