"""What was left by processes that were killed is looked for again and again, as long as a cluster runs."""

import threading
from collections.abc import Iterable
from pathlib import Path

from scaler.storage.folders import OwnedFolder
from scaler.storage.places import sweep_stores
from scaler.storage.store import PREFIX
from scaler.worker.sweeping import Sweeper


def test_stores_that_nobody_owns_any_more_go_from_the_folders_that_are_named(tmp_path: Path):
    living = OwnedFolder(tmp_path / f"{PREFIX}1", PREFIX)
    killed = OwnedFolder(tmp_path / f"{PREFIX}2", PREFIX)
    (killed.path / "value").write_bytes(b"value")
    killed.disown()  # as the system does when its process ends
    other = tmp_path / "other"
    other.mkdir()
    sweep_stores([tmp_path])
    assert sorted(tmp_path.iterdir()) == [other, living.path]
    living.remove()


def test_it_looks_until_it_is_closed(tmp_path: Path):
    looks: list[Iterable[Path]] = []
    has_looked = threading.Event()

    def sweep(folders: Iterable[Path]) -> None:
        looks.append(folders)
        if len(looks) == 3:
            has_looked.set()

    sweeper = Sweeper([tmp_path, tmp_path], 0.0, sweep)
    assert has_looked.wait(10)
    sweeper.close()
    sweeper._thread.join(10)
    assert not sweeper._thread.is_alive()
    assert looks[:3] == [(tmp_path,)] * 3
