"""Addresses as users write them, and the private folder that `ipc://` sockets live in."""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaler.errors import AddressError, InsecureError

#: `sun_path` holds 108 bytes with its closing zero
MAX_IPC_BYTES = 107
MAX_PORT = 65535
_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>\*|[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """`tcp://host:port`; port 0 asks for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    @property
    def is_numeric(self) -> bool:
        """Whether the host is an IP address, not a name."""
        return _ip(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this machine can reach it."""
        ip = _ip(self.host)
        return self.host == "localhost" if ip is None else ip.is_loopback


@dataclass(frozen=True, slots=True)
class IpcAddress:
    """`ipc:///absolute/path` of a socket."""

    path: Path

    def __str__(self) -> str:
        return f"ipc://{self.path}"

    is_loopback = True


Address = TcpAddress | IpcAddress


def needs_no_key(address: Address, *, insecure: bool, insecure_off_loopback: bool, danger: str) -> bool:
    """Whether what goes there needs no key: the folder of an `ipc://` socket keeps others out, or it was asked for.

    Raises `InsecureError`, which says `danger`, where it was asked for and others could make use of it.
    """
    if isinstance(address, IpcAddress):
        return True
    if insecure and not address.is_loopback and not insecure_off_loopback:
        raise InsecureError(danger)
    return insecure


def parse_address(text: str, environment: Mapping[str, str]) -> Address:
    """`tcp://host:port`, `host:port`, `ipc://name` or `ipc:///path`; anything else is an `AddressError`."""
    if text.startswith("ipc://"):
        return _parse_ipc(text.removeprefix("ipc://"), environment)
    rest = text.removeprefix("tcp://")
    if "://" in rest:
        raise AddressError(f"{text!r} is no address: it begins with neither tcp:// nor ipc://")
    match = _TCP.fullmatch(rest)
    if match is None or int(match["port"]) > MAX_PORT or (match["v6"] and _ip(match["v6"]) is None):
        raise AddressError(
            f"{text!r} is no address: expected tcp://host:port with a port from 0 to {MAX_PORT}, "
            "and an IPv6 host in brackets"
        )
    host = match["v6"] or match["name"]
    return TcpAddress("0.0.0.0" if host == "*" else host, int(match["port"]))  # noqa: S104  # zmq's own wildcard


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _parse_ipc(name: str, environment: Mapping[str, str]) -> IpcAddress:
    if not name or name.endswith("/") or "\0" in name:
        raise AddressError(f"{'ipc://' + name!r} is no address: expected ipc://name or ipc:///path")
    path = Path(name) if name.startswith("/") else run_directory(environment) / name
    if len(os.fsencode(path)) > MAX_IPC_BYTES:
        raise AddressError(f"the path of {path} is longer than {MAX_IPC_BYTES} bytes: choose a shorter one")
    return IpcAddress(path)


def run_directory(environment: Mapping[str, str]) -> Path:
    """The user's own folder for sockets, made 0700 if absent; one that others can enter or own is refused."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    path = Path(runtime) / "scaler" if runtime and Path(runtime).is_dir() else Path(f"/tmp/scaler-{os.getuid()}")  # noqa: S108  # checked below
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise AddressError(f"{path} must be a folder, for sockets: move away what is there") from None
    except OSError as error:
        raise AddressError(f"cannot make the folder {path} for sockets: {error.strerror}") from None
    check_private(path)
    return path


def check_private(path: Path) -> None:
    """Raise `AddressError` unless `path` is a real folder of ours that nobody else can enter."""
    try:
        facts = path.lstat()
    except PermissionError:
        raise AddressError(f"{path} cannot be looked at: it is in a folder of another user") from None
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise AddressError(f"{path} must be a folder of your own with mode 0700: move it away, or chmod 700 it")
