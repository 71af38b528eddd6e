"""The peers: what they are called, which environment they live in, and whether it is there.

To add one: a row here, an adapter in `measured/adapters`, and, if it needs one, an environment in `setup_peers.sh`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("PEERS_DIR", "/tmp/peers"))  # noqa: S108  # environments that anybody may make anew


Flags = Mapping[str, Any]
SLOW = {"noop_map": 3_000, "noop_submit": 2_000, "latency": 300, "queued_submits": 5_000}


@dataclass(frozen=True)
class Peer:
    """One system to measure; `name` is its adapter's, `environment` None stands for the Python this runs under."""

    name: str
    label: str
    environment: str | None = None
    #: {workload: n} where it is too slow for a row's size; rates are compared, so that a smaller one does
    most: Mapping[str, int] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter its measurements run under."""
        if self.environment is None:
            return Path(sys.executable)
        return FOLDER / f"venv-{self.environment}" / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here; `setup_peers.sh` marks an environment that is complete."""
        return self.environment is None or (FOLDER / f"venv-{self.environment}" / ".wanted").exists()

    def sized(self, workload: str, flags: Flags) -> Flags:
        """The flags of a row, with `n` no larger than this peer bears."""
        n, most = flags.get("n"), self.most.get(workload)
        return {**flags, "n": min(n, most)} if n is not None and most is not None else flags

    @property
    def is_ours(self) -> bool:
        """Whether it is this project in one of its forms."""
        return self.name in OURS


OURS = ("scaler", "scaler_ipc")
PEERS = {
    peer.name: peer
    for peer in (
        Peer("scaler", "scaler"),
        Peer("scaler_ipc", "scaler ipc"),
        Peer("concurrent_futures", "PPE", most={"noop_map": 50_000}),
        Peer("multiprocessing_pool", "Pool"),
        Peer("loky", "loky", "loky", {"noop_map": 20_000}),
        Peer("mpire", "mpire", "mpire", {"noop_map": 20_000}),
        Peer("ray", "Ray", "ray", {"noop_map": 10_000, "latency": 500, "queued_submits": 20_000}),
        Peer("parsl", "Parsl", "parsl", {"noop_map": 10_000, "latency": 500, "queued_submits": 20_000}),
        Peer("ipyparallel", "ipyparallel", "ipyparallel", SLOW),
        Peer("dask", "dask", "dask", SLOW),
        Peer("dask_apart", "dask, its scheduler apart", "dask", SLOW),
        Peer("opengris", "OpenGRIS", "opengris", SLOW),
    )
}
