"""Wrong-answer traps: what a program defines itself means in its tasks what it means at the time of each submit.

Each way to run a program is tried with all of them: a script, an interpreter that is typed into, a notebook.
"""

import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.integration.processes import PATIENCE_S, Place, own_place, wait_gone
from tests.integration.terminals import told
from tests.integration.traps import CELL, TRAPS

ALL_OK = dict.fromkeys(TRAPS, "ok")


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A place for all of them."""
    with own_place() as place:
        yield place


@pytest.fixture(scope="module")
def address(place: Place) -> str:
    """A scheduler with two workers, which have nothing of what the programs define."""
    _, address = place.scheduler()
    place.cluster(address, 2)
    return address


def head(address: str) -> str:
    return f"from scaler import Client\nclient = Client({address!r}, stream_output=False)\n"


def tried(name: str, text: str) -> str:
    """One statement that tells how a program went."""
    body = textwrap.indent(text.replace(CELL, "\n").strip(), "    ")
    told = f"print({name!r}, type(error).__name__, error, error.__traceback__.tb_lineno, sep='|')"
    return f"try:\n{body}\n    print({name!r}, 'ok', sep='|')\nexcept Exception as error:\n    {told}\n"


def program(address: str) -> str:
    """All of them in one, as they are in a file and can be typed."""
    return head(address) + "\n".join(tried(name, text) for name, text in TRAPS.items()) + "\nclient.disconnect()\n"


def outcomes(out: str) -> dict[str, str]:
    return dict(line.split("|", 1) for line in out.splitlines() if "|" in line)


def run(*words: str, typed: str = "") -> dict[str, str]:
    """What Python says of the programs when it is started like this."""
    done = subprocess.run(
        [sys.executable, *words], input=typed, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return outcomes(done.stdout)


def test_in_a_script(place: Place, address: str):
    path = place.folder / "script.py"
    path.write_text(program(address), encoding="utf-8")
    assert run(str(path)) == ALL_OK


def test_in_a_command(address: str):
    assert run("-c", program(address)) == ALL_OK


def test_from_standard_input(address: str):
    assert run("-", typed=program(address)) == ALL_OK


def test_typed_into_an_interpreter(address: str):
    assert run("-i", "-q", typed=program(address)) == ALL_OK


@pytest.mark.parametrize("names", ["{'__name__': '__main__'}", "{'__name__': 'plugin'}", "{}"])
def test_run_by_exec_in_names_of_its_own(address: str, names: str):
    text = f"exec(compile({program(address)!r}, '<text>', 'exec'), {names})"
    assert run("-c", text) == ALL_OK


# ---- in a notebook


@pytest.fixture
def kernels(address: str) -> Iterator[KernelManager]:  # noqa: ARG001  # it is there before them
    """What starts a kernel as Jupyter does, and ends it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


@pytest.fixture
def notebook(kernels: KernelManager) -> Iterator[BlockingKernelClient]:
    """Where cells are typed into."""
    kernel = kernels.blocking_client()
    kernel.start_channels()
    kernel.wait_for_ready(timeout=PATIENCE_S)
    yield kernel
    kernel.stop_channels()


class Cell:
    """What came of a cell."""

    def __init__(self, kernel: BlockingKernelClient, text: str) -> None:
        self.out = ""
        self.result = ""
        self.html = ""
        reply = kernel.execute_interactive(text, timeout=PATIENCE_S, output_hook=self._take)
        content = reply["content"]
        self.status = content["status"]
        self.error = "" if self.status == "ok" else f"{content['ename']}: {content['evalue']}"

    def _take(self, message: dict) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            self.out += content["text"]
        elif message["msg_type"] == "execute_result":
            self.result, self.html = content["data"]["text/plain"], content["data"].get("text/html", "")


def test_in_a_notebook(notebook: BlockingKernelClient, address: str):
    assert Cell(notebook, head(address)).status == "ok"
    found = {}
    for name, text in TRAPS.items():
        cells = [Cell(notebook, cell) for cell in text.split(CELL)]
        found[name] = " ".join(filter(None, (cell.error for cell in cells))) or "ok"
    assert found == ALL_OK
    assert Cell(notebook, "client.disconnect()").status == "ok"


def test_a_notebook_shows_what_tasks_print_and_where_its_client_is(notebook: BlockingKernelClient, address: str):
    shown = Cell(notebook, head(address).replace(", stream_output=False", "") + "client")
    assert (shown.status, address in shown.html, address in shown.result) == ("ok", True, True)
    printed = Cell(notebook, "client.map(print, ['one', 'two']); import time; time.sleep(0.5)")
    assert [text for _, text in sorted(told(printed.out))] == ["one", "two"]
    awaited = Cell(notebook, "future = client.submit(pow, 2, 5)\nawait future")
    assert awaited.result == "32"


def test_a_cell_that_is_interrupted_leaves_the_client_of_its_notebook_usable(
    notebook: BlockingKernelClient, kernels: KernelManager, address: str
):
    assert Cell(notebook, head(address)).status == "ok"
    # else the kernel passes over what it is sent right behind its answer, too
    waiting = notebook.execute(
        "print('waits')\nimport time\nclient.submit(time.sleep, 1000).result()", stop_on_error=False
    )
    while notebook.get_iopub_msg(timeout=PATIENCE_S)["content"].get("text") != "waits\n":
        pass
    kernels.interrupt_kernel()
    reply = notebook.get_shell_msg(timeout=PATIENCE_S)
    assert (reply["parent_header"]["msg_id"], reply["content"]["ename"]) == (waiting, "KeyboardInterrupt")
    assert Cell(notebook, "client.clear()\nclient.submit(abs, -1).result()").result == "1"


def test_a_cluster_of_a_notebook_ends_with_its_kernel(
    notebook: BlockingKernelClient, kernels: KernelManager, place: Place
):
    before = set(place.processes())
    text = (
        "from scaler import Client, SchedulerClusterCombo\ncombo = SchedulerClusterCombo(1)\nclient = Client(combo)\n"
    )
    assert Cell(notebook, f"{text}client.submit(pow, 2, 5).result()").result == "32"
    started = set(place.processes()) - before
    assert len(started) >= 4
    kernels.shutdown_kernel(now=True)
    wait_gone(list(started))
