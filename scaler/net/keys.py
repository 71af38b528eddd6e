"""Keys: who may connect, and as what. A directory (0700) holds key pairs by role and the keys that are authorised.

    server.key  client.key  worker.key  operator.key      one pair each, with the server's public key: enough to connect
    authorized/NAME.pub                                   public key, role, name and date of somebody who may connect

A key file is text, `field: value` a line. Secrets never appear in a repr, a log or a message.
"""

import contextlib
import datetime
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import zmq

from scaler.errors import KeyFileError

ROLES = ("client", "worker", "operator")
_Z85_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


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
        return explicit
    if named := environment.get("SCALER_KEY_FILE"):
        return Path(named)
    own = Path(platformdirs.user_config_dir("scaler")) / "keys"
    shared = Path("/run/secrets/scaler")
    return shared if shared.exists() and not own.exists() else own


def load_key(role: str, explicit: Path | None, environment: Mapping[str, str]) -> KeyFile:
    """The key of a role, from a directory or a single file; made with its directory if none was named and none is."""
    place = key_directory(explicit, environment)
    if place.is_file():
        return read_key_file(place)
    if not place.exists():
        if explicit is not None or "SCALER_KEY_FILE" in environment:
            raise KeyFileError(f"there is no key at {place}: make one with 'scaler keygen {place}', or copy it there")
        make_key_directory(place)
    _check_mode(place)
    return read_key_file(place / f"{role}.key")


def load_server(explicit: Path | None, environment: Mapping[str, str]) -> tuple[Path, KeyFile]:
    """The key directory of a scheduler and its server key; made if none was named and none is there."""
    place = key_directory(explicit, environment)
    if place.is_file():
        raise KeyFileError(f"{place} is the key of one peer; a scheduler needs a directory from 'scaler keygen'")
    return place, load_key("server", explicit, environment)


def read_key_file(path: Path) -> KeyFile:
    """A key file, its mode and every field checked."""
    try:
        _check_mode(path)
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"the key file {path} cannot be read: {error}") from None
    fields = _fields(path, text)
    missing = {"role", "name", "public", "secret", "server"} - fields.keys()
    if missing:
        raise KeyFileError(f"the key file {path} has no line '{min(missing)}: …'")
    for name in ("public", "secret", "server"):
        if not _Z85_KEY.fullmatch(fields[name]):
            raise KeyFileError(f"the key file {path}: '{name}' is not a key of 40 characters")
    return KeyFile(
        path,
        fields["role"],
        fields["name"],
        fields["public"].encode(),
        fields["secret"].encode(),
        fields["server"].encode(),
    )


def read_authorized(directory: Path) -> dict[bytes, Authorized]:
    """The keys that may connect to the scheduler of this directory; an entry that makes no sense is left out."""
    found: dict[bytes, Authorized] = {}
    for path in sorted((directory / "authorized").glob("*.pub")):
        try:
            fields = _fields(path, path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError, KeyFileError):
            continue
        if fields.get("role") in ROLES and _Z85_KEY.fullmatch(fields.get("public", "")):
            found[fields["public"].encode()] = Authorized(fields["role"], fields.get("name", path.stem))
    return found


def make_key_directory(directory: Path) -> None:
    """Make all keys, beside and under a lock, and rename them into place; one that is there already stays."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _lock(directory.parent / f".{directory.name}.lock"):
        if directory.exists():
            return
        building = directory.parent / f".{directory.name}.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        (building / "authorized").mkdir(mode=0o700)
        server_public, server_secret = zmq.curve_keypair()
        _write_key(building, "server", server_public, server_secret, server_public)
        for role in ROLES:
            public, secret = zmq.curve_keypair()
            _write_key(building, role, public, secret, server_public)
            authorize(building, role, role, public)
        building.rename(directory)


def authorize(directory: Path, role: str, name: str, public: bytes) -> None:
    """Let a public key connect, as this role and under this name."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = f"role: {role}\nname: {name}\npublic: {public.decode()}\ndate: {date}\n"
    (directory / "authorized" / f"{name}.pub").write_text(text, encoding="ascii")


def _write_key(directory: Path, role: str, public: bytes, secret: bytes, server: bytes) -> None:
    text = (
        f"role: {role}\nname: {role}\npublic: {public.decode()}\nsecret: {secret.decode()}\nserver: {server.decode()}\n"
    )
    descriptor = os.open(directory / f"{role}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def _fields(path: Path, text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise KeyFileError(f"{path}, line {number}: expected 'field: value'")
        fields[name.strip()] = value.strip()
    return fields


def _check_mode(path: Path) -> None:
    facts = path.stat()
    if facts.st_uid not in (os.getuid(), 0):
        raise KeyFileError(f"{path} belongs to another user: copy it and own the copy")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        wanted = "700" if path.is_dir() else "600"
        raise KeyFileError(f"{path} can be read by others: chmod {wanted} {path}")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
