"""What every test gets: a home of its own, and the rule that no process outlives the run."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import settings

# A shared machine is slow now and then, which is no fault of the code; the time limit of the whole test stays.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

LEAVING_S = 5.0

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, sockets and settings of whoever runs the tests are neither used nor changed."""
    home = tmp_path_factory.mktemp("home")
    run = tmp_path_factory.mktemp("run")
    run.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SCALER_", "XDG_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_RUNTIME_DIR", str(run))
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """At the end of the run every process that a test started, and every child of one, has ended."""
    before = set(psutil.Process().children(recursive=True))
    yield
    started = [child for child in psutil.Process().children(recursive=True) if child not in before]
    _, left = psutil.wait_procs(started, timeout=LEAVING_S)
    told = [_described(process) for process in left]
    for process in left:
        process.kill()
    assert told == []


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid} (ended)"
