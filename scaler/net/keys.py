"""Keys: who may connect, and as what. A directory (0700) holds key pairs by role and the keys that are authorised.

    server.key  client.key  worker.key  operator.key      one pair each, with the server's public key: enough to connect
    authorized/NAME.pub                                   public key, role, name and date of somebody who may connect

A key file is text, `field: value` a line. Secrets never appear in a repr, a log or a message.
"""

import contextlib
import datetime
import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import platformdirs
import zmq

from scaler.errors import KeyFileError

ROLES = ("client", "worker", "operator")
#: the roles of the keys that a process may use to connect as what it is
_SERVES_AS = {
    "server": ("server",),
    "client": ("client", "operator"),
    "worker": ("worker",),
    "operator": ("operator",),
}
_Z85_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

#: i-node, time of change in nanoseconds, and size of a file
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key pair and what it is for; `server` is the public key of the scheduler it connects to."""

    path: Path
    role: str
    name: str
    public: bytes
    secret: bytes = field(repr=False)
    server: bytes


@dataclass(frozen=True, slots=True)
class Authorized:
    """A public key that may connect, and as what."""

    role: str
    name: str


def key_directory(explicit: Path | None, environment: Mapping[str, str]) -> Path:
    """Where keys are looked for: `--key-file`, `SCALER_KEY_FILE`, the user's configuration, `/run/secrets/scaler`."""
    if explicit is not None:
        return explicit.expanduser()
    if named := environment.get("SCALER_KEY_FILE"):
        return Path(named).expanduser()
    own = Path(platformdirs.user_config_dir("scaler")) / "keys"
    shared = Path("/run/secrets/scaler")
    return shared if _is_seen(shared) and not _is_seen(own) else own


def _is_seen(path: Path) -> bool:
    """Whether it is there, as far as we may look."""
    try:
        return path.exists()
    except PermissionError:
        return False


def load_key(role: str, explicit: Path | None, environment: Mapping[str, str]) -> KeyFile:
    """The key of a role, from a directory or a single file; made with its directory if none was named and none is."""
    place = key_directory(explicit, environment)
    is_named = explicit is not None or bool(environment.get("SCALER_KEY_FILE"))
    try:
        return _load(role, place, is_named=is_named)
    except PermissionError as error:
        raise KeyFileError(f"the key at {place} is not yours to read ({error.strerror}): own a copy of it") from None


def _load(role: str, place: Path, *, is_named: bool) -> KeyFile:
    if not place.exists():
        if is_named:
            raise KeyFileError(f"there is no key at {place}: make one with 'scaler keygen {place}', or copy it there")
        make_key_directory(place)
    if place.is_dir():
        _check_private(place)
        place /= f"{role}.key"
    key = read_key_file(place)
    if key.role not in _SERVES_AS[role]:
        raise KeyFileError(f"{place} is a {key.role} key: a {role} needs one whose role is {role}")
    return key


def load_server(explicit: Path | None, environment: Mapping[str, str]) -> tuple[Path, KeyFile]:
    """The key directory of a scheduler and its server key; made if none was named and none is there."""
    place = key_directory(explicit, environment)
    if _is_seen(place) and place.is_file():
        raise KeyFileError(f"{place} is the key of one peer; a scheduler needs a directory from 'scaler keygen'")
    return place, load_key("server", explicit, environment)


def read_key_file(path: Path) -> KeyFile:
    """A key file, its mode and every field checked."""
    try:
        _check_private(path)
        _check_regular(path, path.stat())
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error}") from None
    fields = _fields(path, text)
    missing = [name for name in ("role", "name") if name not in fields]
    if missing:
        raise KeyFileError(f"the key file {path} has no line '{missing[0]}: …'")
    return KeyFile(
        path,
        fields["role"].text,
        fields["name"].text,
        _key(path, fields, "public"),
        _key(path, fields, "secret"),
        _key(path, fields, "server"),
    )


def is_key(text: bytes) -> bool:
    """Whether it has the form of a key."""
    return _Z85_KEY.fullmatch(text.decode(errors="replace")) is not None


def new_key_pair() -> tuple[str, str]:
    """A public key and its secret, for as long as whoever asks for them lives."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


class KeyRing:
    """The keys that may connect to the scheduler of a key directory; a file that has not changed is not read again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "authorized"
        self._read: dict[str, tuple[_Stamp, Authorized | None, bytes]] = {}
        #: why nobody may connect, as `read` has last seen; "" if somebody may
        self.problem = ""

    def read(self) -> dict[bytes, Authorized]:
        """Who may connect now; a file that makes no sense authorises nobody, nor does a folder others can write to.

        While this process is short of descriptors or memory the last answer stands: that takes nobody's key away.
        """
        problem = f"{self._directory} holds no key"
        try:
            facts = self._directory.stat()
            is_ours = facts.st_uid in (os.getuid(), 0) and not facts.st_mode & 0o022
            if not is_ours:
                problem = f"{self._directory} must be yours alone to write to: own it, and chmod 700 it"
            names = sorted(name for name in os.listdir(self._directory) if name.endswith(".pub")) if is_ours else []
            self._read = {name: self._entry(name) for name in names}
        except OSError as error:
            problem = f"{self._directory}: {error.strerror}"
            if error.errno not in _SHORTAGES:
                self._read = {}
        found = {key: known for _, known, key in self._read.values() if known is not None}
        self.problem = "" if found else problem
        return found

    def _entry(self, name: str) -> "tuple[_Stamp, Authorized | None, bytes]":
        path = self._directory / name
        try:
            facts = path.stat()
            stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            known = self._read.get(name)
            if known is not None and known[0] == stamp:
                return known
            _check_regular(path, facts)
            fields = _fields(path, path.read_text(encoding="ascii"))
            key = _key(path, fields, "public")
            role = fields["role"].text if "role" in fields else ""
            title = fields["name"].text if "name" in fields else path.stem
        except (OSError, UnicodeDecodeError, KeyFileError) as error:
            if isinstance(error, OSError) and error.errno in _SHORTAGES:
                raise
            return (0, 0, 0), None, b""
        return stamp, Authorized(role, title) if role in ROLES else None, key


def make_key_directory(directory: Path) -> None:
    """Make all keys, beside and under a lock, and rename them into place; one that is there already stays."""
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock(directory.parent / f".{directory.name}.lock"):
            if not directory.exists():
                _build(directory.parent / f".{directory.name}.new").rename(directory)
    except OSError as error:
        raise KeyFileError(f"cannot make keys in {directory}: {error.strerror}") from None


def _build(building: Path) -> Path:
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    (building / "authorized").mkdir(mode=0o700)
    server_public, server_secret = zmq.curve_keypair()
    _write_key(building, "server", server_public, server_secret, server_public)
    for role in ROLES:
        public, secret = zmq.curve_keypair()
        _write_key(building, role, public, secret, server_public)
        authorize(building, role, role, public)
    return building


def authorize(directory: Path, role: str, name: str, public: bytes) -> None:
    """Let a public key connect, as this role and under this name."""
    if role not in ROLES:
        raise KeyFileError(f"{role!r} is no role: choose one of {', '.join(ROLES)}")
    if not _NAME.fullmatch(name):
        raise KeyFileError(f"{name!r} is no name for a key: use letters, digits, '.', '_' and '-'")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = f"role: {role}\nname: {name}\npublic: {public.decode()}\ndate: {date}\n"
    beside = directory / "authorized" / f"{name}.new"
    beside.unlink(missing_ok=True)
    _write_private(beside, text)
    beside.rename(beside.with_suffix(".pub"))


def _write_key(directory: Path, role: str, public: bytes, secret: bytes, server: bytes) -> None:
    text = (
        f"role: {role}\nname: {role}\npublic: {public.decode()}\nsecret: {secret.decode()}\nserver: {server.decode()}\n"
    )
    _write_private(directory / f"{role}.key", text)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)


class _Field(NamedTuple):
    text: str
    line: int


def _fields(path: Path, text: str) -> dict[str, _Field]:
    fields: dict[str, _Field] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise KeyFileError(f"{path}, line {number}: expected 'field: value'")
        fields[name.strip()] = _Field(value.strip(), number)
    return fields


def _key(path: Path, fields: Mapping[str, _Field], name: str) -> bytes:
    """The value of a field that must be a key; it never appears in the error, since it may be a secret."""
    if name not in fields:
        raise KeyFileError(f"the key file {path} has no line '{name}: …'")
    found = fields[name]
    if not _Z85_KEY.fullmatch(found.text):
        raise KeyFileError(f"{path}, line {found.line}: '{name}' is not a key of 40 characters")
    return found.text.encode()


def _check_private(path: Path) -> None:
    facts = path.stat()
    if facts.st_uid not in (os.getuid(), 0):
        raise KeyFileError(f"{path} belongs to another user: copy it and own the copy")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise KeyFileError(f"{path} can be read by others: chmod {wanted} {path}")


def _check_regular(path: Path, facts: os.stat_result) -> None:
    """Whoever opens a pipe waits for its other end, for ever if there is none."""
    if not stat.S_ISREG(facts.st_mode):
        raise KeyFileError(f"{path} is no regular file: a key is read from a file")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
