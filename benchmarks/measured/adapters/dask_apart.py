"""dask.distributed with a scheduler that is a process of its own, which can be killed alone."""

import socket
import subprocess
import sys

import procs
from distributed import Client

from .dask import Peer as Dask


class Peer(Dask):
    """Scheduler and workers by their own commands, a worker each under a nanny."""

    def start(self, n_workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        host, _, port = address.partition(":")
        here = ["--host", host, "--no-dashboard"]
        self._start("scheduler", *here, "--port", port)
        self._start("worker", f"tcp://{address}", *here, "--nworkers", str(n_workers), "--nthreads", "1")
        self.client = Client(f"tcp://{address}", timeout=60)
        self.client.wait_for_workers(n_workers, timeout=60)

    def _start(self, command: str, *words: str) -> None:
        subprocess.Popen([sys.executable, "-m", "dask", command, *words], stdout=subprocess.DEVNULL)

    def scheduler_pids(self) -> list[int]:
        return [pid for pid in self.pids() if "scheduler" in procs.command(pid)]

    def stop(self) -> None:
        self.client.close()
