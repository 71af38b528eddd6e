"""Other users of the same machine, and places for sockets that are not safe from them."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaler import Client
from scaler.cli.endings import ExitCode
from scaler.errors import AddressError
from scaler.net.addresses import MAX_IPC_BYTES
from tests.integration.processes import Command, Place
from tests.integration.security_peers import good_client
from tests.integration.security_root import NOBODY, needs_second_user

# ---- a second user

#: everything is loaded while that is allowed, since the interpreter may lie where only its owner can read
AS_NOBODY = """
import json, os, socket, sys
import encodings.ascii, encodings.idna, linecache, platformdirs, traceback, zmq
import fcntl, scaler.client.client, scaler.client.way, scaler.net.keys, scaler.net.zmq_dialer
from scaler import Client

user, home, tcp, ipc, *files = sys.argv[1:]
platformdirs.user_config_dir("x")
os.setgroups([])
os.setresgid(int(user), int(user), int(user))
os.setresuid(int(user), int(user), int(user))
os.environ.update(HOME=home, XDG_CONFIG_HOME=home + "/c", XDG_RUNTIME_DIR=home)
os.chdir("/")

def outcome(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", "was refused"]

def knock():
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(ipc.removeprefix("ipc://"))

print(json.dumps({
    "files": [outcome(lambda: open(file).read()) for file in files],
    "socket": outcome(knock),
    "ipc": outcome(lambda: Client(ipc, timeout_seconds=5)),
    "tcp": outcome(lambda: Client(tcp, timeout_seconds=20)),
    "key": outcome(lambda: Client(tcp, key_file=files[0])),
}))
"""


@pytest.fixture
def home_of_nobody() -> Iterator[Path]:
    """A folder that belongs to the second user, where it can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="scaler-n-", dir="/tmp"))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@needs_second_user
def test_another_user_of_this_machine_reads_no_key_reaches_no_socket_and_is_told_what_to_copy(
    place: Place, home_of_nobody: Path
):
    _, tcp = place.scheduler()
    _, ipc = place.scheduler("ipc://here")
    place.cluster(tcp, 1)
    # nothing but their own modes protects keys and sockets
    for path in (place.folder, place.folder / "run", place.folder / "c", place.folder / "c" / "scaler"):
        path.chmod(0o755)
    keys = place.folder / "c" / "scaler" / "keys"
    files = [keys / "client.key", keys / "server.key", keys / "authorized" / "client.pub"]
    with good_client(tcp):
        stranger = place.script(AS_NOBODY, str(NOBODY), str(home_of_nobody), tcp, ipc, *map(str, files))
        assert (stranger.wait(), stranger.err) == (0, "")
    told = json.loads(stranger.out)
    assert [kind for kind, _ in told["files"]] == ["PermissionError"] * 3
    assert told["socket"][0] == "PermissionError"
    folder = Path(ipc.removeprefix("ipc://")).parent
    assert told["ipc"] == [
        "AddressError",
        f"{folder} must be a folder of your own with mode 0700: move it away, or chmod 700 it",
    ]
    own = home_of_nobody / "c" / "scaler" / "keys" / "client.key"
    refusal = f"{tcp}: the scheduler does not accept the key {own}: copy its own client.key here "
    remedy = "(from the directory it printed at its start) and name it with key_file= or SCALER_KEY_FILE"
    assert told["tcp"] == ["AuthenticationError", refusal + remedy]
    assert told["key"][0] == "KeyFileError"
    assert str(files[0]) in told["key"][1]


# ---- places for sockets


def refused(command: Command) -> str:
    """The one line by which a command says why it does not start."""
    assert command.wait() == ExitCode.BAD_INPUT
    assert command.out.count("\n") <= 2
    assert command.err.count("\n") == 1
    return command.err.strip()


def test_a_socket_with_too_long_a_path_is_refused(place: Place):
    address = f"ipc://{place.folder}/{'x' * MAX_IPC_BYTES}"
    reason = f"is longer than {MAX_IPC_BYTES} bytes: choose a shorter one"
    assert reason in refused(place.start("scaler_scheduler", address))
    assert reason in refused(place.start("scaler_worker", address))
    with pytest.raises(AddressError, match=reason):
        Client(address)


def _symlink(path: Path) -> None:
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def _open_to_others(path: Path) -> None:
    path.mkdir()
    path.chmod(0o755)


def _of_another(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


UNSAFE = [
    pytest.param(_symlink, id="a symlink"),
    pytest.param(_open_to_others, id="open to others"),
    pytest.param(_of_another, id="of another user", marks=needs_second_user),
]


@pytest.mark.parametrize("spoil", UNSAFE)
def test_a_run_directory_that_is_not_ones_own_is_refused(place: Place, spoil: Callable[[Path], None]):
    folder = place.folder / "run" / "scaler"
    spoil(folder)
    reason = f"{folder} must be a folder of your own with mode 0700: move it away, or chmod 700 it"
    assert reason in refused(place.start("scaler_scheduler", "ipc://here"))
    assert reason in refused(place.start("scaler_worker", "ipc://here"))
    with pytest.raises(AddressError, match=re.escape(reason)):
        Client("ipc://here")


@pytest.mark.parametrize("spoil", UNSAFE)
def test_a_socket_in_a_named_folder_that_is_not_ones_own_is_refused(place: Place, spoil: Callable[[Path], None]):
    folder = place.folder / "sockets"
    spoil(folder)
    address = f"ipc://{folder}/s"
    reason = f"{folder} must be a folder of your own with mode 0700: move it away, or chmod 700 it"
    assert reason in refused(place.start("scaler_scheduler", address))
    assert reason in refused(place.start("scaler_worker", address))
    with pytest.raises(AddressError, match=re.escape(reason)):
        Client(address)
