"""How a client without an address finds a scheduler of its own user: one small file each, in the run directory.

A file that outlives its scheduler is harmless: readers pass over it, and the next scheduler to start removes it.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import AddressError
from scaler.net.addresses import run_directory

_PATTERN = "scheduler-*.json"
#: of the fields of /proc/PID/stat behind the state
_STARTTIME = 18


@dataclass(frozen=True, slots=True)
class SchedulerFacts:
    """Where a scheduler listens, as which process, and which keys reach it ("" where none are needed).

    One that `is_private` serves those who are told its address, and is not to be found.
    """

    address: str
    pid: int
    key_directory: str
    is_private: bool = False


def monitor_address(pid: int) -> str:
    """Where the scheduler of this process can be watched, unless it was told another place."""
    return f"ipc://{_monitor_name(pid)}"


def write_connection_file(facts: SchedulerFacts, environment: Mapping[str, str]) -> Path:
    """Tell other processes of this user about a scheduler; returns the file to remove when it ends."""
    directory = run_directory(environment)
    for path, gone in _found(directory, alive=False):
        (directory / _monitor_name(gone.pid)).unlink(missing_ok=True)
        if gone.is_private and gone.address.startswith(f"ipc://{directory}/"):  # no other may have taken its name
            Path(gone.address.removeprefix("ipc://")).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    path = directory / f"scheduler-{facts.pid}.json"
    beside = path.with_suffix(".new")
    text = json.dumps(dataclasses.asdict(facts) | {"begun": _begun(facts.pid)})
    beside.write_text(text + "\n", encoding="utf-8")
    beside.rename(path)
    return path


def find_scheduler(environment: Mapping[str, str]) -> SchedulerFacts | None:
    """The scheduler of this user that was started last, still lives and is not private, or None."""
    with contextlib.suppress(AddressError, OSError):
        found = [entry for entry in _found(run_directory(environment), alive=True) if not entry[1].is_private]
        if found:
            return max(found, key=lambda entry: entry[0].stat().st_mtime_ns)[1]
    return None


def _monitor_name(pid: int) -> str:
    return f"monitor-{pid}"


def _found(directory: Path, *, alive: bool) -> Iterator[tuple[Path, SchedulerFacts]]:
    for path in sorted(directory.glob(_PATTERN)):
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            facts = SchedulerFacts(
                str(fields["address"]),
                int(fields["pid"]),
                str(fields["key_directory"]),
                bool(fields.get("is_private")),
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        begun = _begun(facts.pid)
        if (begun is not None and begun == fields.get("begun")) is alive:
            yield path, facts


def _begun(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did: no other that is given its number has the same."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else int(fields[_STARTTIME])
