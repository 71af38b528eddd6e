"""Logs of works for tests: rows, files as a kill would leave them, and what is read of them."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from scaler.durable.file import WorkFacts, WorkFile, files_of
from scaler.durable.rows import DamagedRow, Row

FACTS = WorkFacts("nightly", "key", (1 << 64) - 1)


def row(lo: int, hi: int, *frames: bytes, kind: int = 1, batch: int = 1) -> Row:
    return Row(kind, batch, lo, hi, b"header", frames)


def some_rows(count: int, seed: int = 0) -> list[Row]:
    """Rows of a few batches and kinds, with frames that fit a page and frames that do not."""
    chance = random.Random(seed)
    return [
        Row(
            n % 3,
            n % 4,
            10 * n,
            10 * n + 10,
            chance.randbytes(chance.randrange(60)),
            tuple(chance.randbytes(chance.choice([0, 5, 50, 700, 9000])) for _ in range(chance.randrange(4))),
        )
        for n in range(count)
    ]


def written(path: Path, *groups: Sequence[Row]) -> WorkFile:
    """A new file with these rows, a transaction for each group."""
    file = WorkFile.create(path, FACTS)
    for group in groups:
        file.append(group)
    return file


def copied(path: Path, to: Path) -> Path:
    """A file as it is on disk now, with what is beside it."""
    for old, new in zip(files_of(path), files_of(to), strict=True):
        new.unlink(missing_ok=True)
        if old.exists():
            shutil.copy(old, new)
    return to


def read(path: Path) -> list[tuple[int, Row | DamagedRow]]:
    """All that a file has; it is closed again."""
    file = WorkFile.open(path)
    try:
        return list(file.read_all())
    finally:
        file.close()


def numbered(rows: Sequence[Row]) -> list[tuple[int, Row]]:
    """Rows as the file has them that they were appended to."""
    return list(enumerate(rows, 1))
