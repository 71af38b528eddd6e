"""Child processes that are commands of ours: started with a line to us, ended in order, never left behind.

The line is a socket pair. The child says on it, in one line of text, that it is ready (and where); when our end
closes, because we ended in whatever way, the child ends itself.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from scaler.errors import SchedulerError

_OUTPUT_TAIL_BYTES = 4096


class Child:
    """One command of ours, running in a session of its own, so that Ctrl-C in our terminal is ours to pass on."""

    def __init__(self, arguments: Sequence[str], *, quiet: bool) -> None:
        ours, theirs = socket.socketpair()
        self._line = ours
        self._name = arguments[0]
        command = [
            sys.executable,
            "-m",
            "scaler.cli.main",
            *arguments,
            "--parent-fd",
            str(theirs.fileno()),
        ]
        output = subprocess.DEVNULL if quiet else None
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._process.pid

    def wait_ready(self, timeout_s: float) -> str:
        """What the child said when it was ready; `SchedulerError` if it ended or said nothing in time."""
        self._line.settimeout(timeout_s)
        text = b""
        try:
            while not text.endswith(b"\n"):
                data = self._line.recv(_OUTPUT_TAIL_BYTES)
                if not data:
                    raise SchedulerError(
                        f"{self._name} ended with exit code {self._process.wait()} before it was ready"
                    )
                text += data
        except TimeoutError:
            raise SchedulerError(
                f"{self._name} was not ready after {timeout_s:g} s"
            ) from None
        return text.decode().strip()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once the process is there."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def finish(self, deadline: float) -> None:
        """Wait until `deadline` on the monotonic clock, then kill the whole group; always leaves nothing."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._line.close()
