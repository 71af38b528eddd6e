"""Child processes that are commands of ours: started with a line to us, ended in order, never left behind.

The line is a socket pair. The child says on it, in one line of text, that it is ready (and where), or without the end
of a line why it gives up; when our end closes, because we ended in whatever way, the child ends itself.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence

from scaler.errors import ConfigurationError, ScalerError, SchedulerError

#: the exit code of a command that cannot use what it was told
BAD_INPUT = 2
_LINE_BYTES = 4096


class Child:
    """One command of ours, running in a session of its own, so that Ctrl-C in our terminal is ours to pass on.

    What it prints goes where our own output goes: tasks may print.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        self._line = ours
        self._name = arguments[0]
        self._is_asked = False
        command = [
            sys.executable,
            # what lies in the working directory must not stand in for what we import
            "-P",
            "-m",
            "scaler.cli.main",
            *arguments,
            "--parent-fd",
            str(theirs.fileno()),
        ]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float) -> str:
        """What the child said when it was ready; `SchedulerError` if it ended or said nothing in time.

        A child that cannot use what it was told is a `ConfigurationError` in its own words.
        """
        self._line.settimeout(timeout_s)
        text = b""
        try:
            while not text.endswith(b"\n"):
                data = self._read()
                if not data:
                    raise self._failure(self._process.wait(), text.decode(errors="replace"))
                text += data
        except TimeoutError:
            raise SchedulerError(f"{self._name} was not ready after {timeout_s:g} s") from None
        return text.decode().strip()

    def _failure(self, code: int, why: str) -> ScalerError:
        if code == BAD_INPUT and why:
            return ConfigurationError(f"{self._name}: {why}")
        why = why or "see what it said on stderr"
        return SchedulerError(f"{self._name} ended with exit code {code} before it was ready: {why}")

    def _read(self) -> bytes:
        try:
            return self._line.recv(_LINE_BYTES)
        except ConnectionResetError:  # it ended before it had read what we told it
            return b""

    def watch(self, on_end: Callable[[str, int], object]) -> None:
        """Call `on_end` in a thread, with its name and exit code, once it ends without having been asked to."""
        # the thread must not keep the line of a child open that nobody holds any more
        arguments = [os.pidfd_open(self.pid), weakref.ref(self), on_end]
        threading.Thread(target=_await_end, args=arguments, daemon=True).start()

    def tell_end(self, on_end: Callable[[str, int], object]) -> None:
        """It has ended; `on_end` hears of it if it was not asked to."""
        if not self._is_asked:
            on_end(self._name, self._process.wait())

    def tell(self, text: str) -> None:
        """Say a line to the child; one that has ended does not hear it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._line.sendall(f"{text}\n".encode())

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once the process is there."""
        self._is_asked = True
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def finish(self, timeout_s: float) -> None:
        """Wait so long for its end, then kill the whole group; always leaves nothing."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._line.close()


def _await_end(descriptor: int, watched: Callable[[], Child | None], on_end: Callable[[str, int], object]) -> None:
    # signals have to wake the main thread, so no other may take them
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    waiting.poll()
    os.close(descriptor)
    child = watched()
    if child is not None:
        child.tell_end(on_end)
