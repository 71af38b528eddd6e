"""Addresses as users write them, and the private folder that `ipc://` sockets live in."""

import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import AddressError

#: `sun_path` holds 108 bytes with its closing zero
MAX_IPC_BYTES = 107
DEFAULT_PORT = 8516


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """`tcp://host:port`; port 0 asks for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class IpcAddress:
    """`ipc:///absolute/path` of a socket."""

    path: Path

    def __str__(self) -> str:
        return f"ipc://{self.path}"

    is_loopback = True


Address = TcpAddress | IpcAddress


def parse_address(text: str, environment: Mapping[str, str]) -> Address:
    """`tcp://host:port`, `host:port`, `ipc://name` or `ipc:///path`; anything else is an `AddressError`."""
    if text.startswith("ipc://"):
        return _parse_ipc(text.removeprefix("ipc://"), environment)
    rest = text.removeprefix("tcp://")
    if "://" in rest:
        raise AddressError(f"{text!r} is no address: it begins with neither tcp:// nor ipc://")
    host, colon, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:  # the largest port
        raise AddressError(f"{text!r} is no address: expected tcp://host:port with a port from 0 to 65535")
    return TcpAddress("0.0.0.0" if host == "*" else host, int(port))  # noqa: S104  # zmq's own wildcard


def _parse_ipc(name: str, environment: Mapping[str, str]) -> IpcAddress:
    if not name:
        raise AddressError("'ipc://' is no address: expected ipc://name or ipc:///path")
    path = Path(name) if name.startswith("/") else run_directory(environment) / name
    if len(os.fsencode(path)) > MAX_IPC_BYTES:
        raise AddressError(f"the path of {path} is longer than {MAX_IPC_BYTES} bytes: choose a shorter one")
    return IpcAddress(path)


def run_directory(environment: Mapping[str, str]) -> Path:
    """The user's own folder for sockets, made 0700 if absent; one that others can enter or own is refused."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    path = Path(runtime) / "scaler" if runtime and Path(runtime).is_dir() else Path(f"/tmp/scaler-{os.getuid()}")  # noqa: S108  # checked below
    path.mkdir(mode=0o700, exist_ok=True)
    check_private(path)
    return path


def check_private(path: Path) -> None:
    """Raise `AddressError` unless `path` is a real folder of ours that nobody else can enter."""
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise AddressError(f"{path} must be a folder of your own with mode 0700: move it away, or chmod 700 it")
