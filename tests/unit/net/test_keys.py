"""Keys: made once, found where they are looked for, private, and never shown."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import platformdirs
import pytest

from scaler.errors import KeyFileError
from scaler.net.keys import (
    ROLES,
    Authorized,
    KeyRing,
    authorize,
    key_directory,
    load_key,
    load_server,
    make_key_directory,
    read_key_file,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "keys"
    make_key_directory(directory)
    return directory


@pytest.fixture
def keys(made: Path, tmp_path: Path) -> Path:
    """A key directory that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "keys"))


def of_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it belong to somebody else, or us be somebody else where only root may give things away."""
    if os.getuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


def public_of(keys: Path, role: str) -> bytes:
    return read_key_file(keys / f"{role}.key").public


# ---- making


def test_a_key_directory_has_a_pair_for_each_role_and_knows_them(made: Path):
    assert sorted(path.name for path in made.iterdir()) == [
        "authorized",
        "client.key",
        "operator.key",
        "server.key",
        "worker.key",
    ]
    server = read_key_file(made / "server.key")
    assert (server.role, server.name, server.server) == ("server", "server", server.public)
    keys = {role: read_key_file(made / f"{role}.key") for role in ROLES}
    assert all((key.role, key.name, key.server) == (role, role, server.public) for role, key in keys.items())
    assert KeyRing(made).read() == {key.public: Authorized(role, role) for role, key in keys.items()}
    assert len({key.secret for key in [server, *keys.values()]}) == 4


def test_nobody_else_can_read_them(made: Path):
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.glob("*.key")} == {0o600}


def test_a_key_directory_that_is_there_stays(keys: Path):
    before = read_key_file(keys / "server.key")
    make_key_directory(keys)
    assert read_key_file(keys / "server.key") == before


def test_what_a_crash_left_half_made_is_made_anew(tmp_path: Path):
    half = tmp_path / "deep" / ".keys.new"
    half.mkdir(parents=True)
    (half / "server.key").write_text("half")
    make_key_directory(tmp_path / "deep" / "keys")
    assert read_key_file(tmp_path / "deep" / "keys" / "server.key").role == "server"
    assert not half.exists()


def test_a_place_where_none_can_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match=f"cannot make keys in {tmp_path}/file/keys: "):
        make_key_directory(tmp_path / "file" / "keys")


def test_a_secret_is_not_shown(made: Path):
    key = read_key_file(made / "client.key")
    assert key.secret.decode() not in repr(key)
    assert key.public.decode() in repr(key)


# ---- finding


def test_keys_are_looked_for_where_the_user_says_then_in_its_configuration(tmp_path: Path):
    own = Path(platformdirs.user_config_dir("scaler")) / "keys"
    assert key_directory(None, {}) == own
    assert key_directory(None, {"SCALER_KEY_FILE": str(tmp_path)}) == tmp_path
    assert key_directory(Path("~/mine"), {"SCALER_KEY_FILE": str(tmp_path)}) == Path.home() / "mine"
    assert key_directory(None, {"SCALER_KEY_FILE": "~/mine"}) == Path.home() / "mine"


def test_keys_that_a_platform_mounts_are_used_where_the_user_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    shared = Path("/run/secrets/scaler")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path == shared or exists(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_directory(None, {}) == shared
    (tmp_path / "scaler" / "keys").mkdir(parents=True)
    assert key_directory(None, {}) == tmp_path / "scaler" / "keys"


def test_the_key_of_a_role_is_taken_from_a_directory_or_a_file(made: Path):
    client = read_key_file(made / "client.key")
    assert load_key("client", made, {}) == client
    assert load_key("client", made / "client.key", {}) == client
    assert load_key("client", None, {"SCALER_KEY_FILE": str(made)}) == client
    assert load_server(made, {}) == (made, read_key_file(made / "server.key"))


def test_keys_are_made_at_the_first_start_where_none_were_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = load_key("worker", None, {})
    assert key.path == tmp_path / "scaler" / "keys" / "worker.key"
    assert load_server(None, {})[1].public == key.server


@pytest.mark.parametrize("is_named_by_environment", [False, True])
def test_keys_that_were_named_and_are_not_there_are_not_made(tmp_path: Path, *, is_named_by_environment: bool):
    place = tmp_path / "none"
    explicit, environment = (None, {"SCALER_KEY_FILE": str(place)}) if is_named_by_environment else (place, {})
    with pytest.raises(KeyFileError, match=f"there is no key at {place}: make one with 'scaler keygen {place}'"):
        load_key("client", explicit, environment)
    assert not place.exists()


def test_an_operator_may_act_as_a_client_and_nobody_else_as_another(made: Path):
    serves = {
        (role, key) for role in ("server", *ROLES) for key in ("server", *ROLES) if _can_load(role, made / f"{key}.key")
    }
    assert serves == {
        ("server", "server"),
        ("client", "client"),
        ("client", "operator"),
        ("worker", "worker"),
        ("operator", "operator"),
    }


def _can_load(role: str, path: Path) -> bool:
    try:
        load_key(role, path, {})
    except KeyFileError as error:
        return str(error) != f"{path} is a {path.stem} key: a {role} needs one whose role is {role}"
    return True


def test_a_scheduler_needs_more_than_one_file(made: Path):
    with pytest.raises(KeyFileError, match="is the key of one peer; a scheduler needs a directory"):
        load_server(made / "server.key", {})


# ---- reading


@pytest.mark.parametrize(
    ("line", "instead", "why"),
    [
        ("role", "", "has no line 'role: …'"),
        ("name", "# name: client", "has no line 'name: …'"),
        ("public", "", "has no line 'public: …'"),
        ("secret", "", "has no line 'secret: …'"),
        ("server", "", "has no line 'server: …'"),
        ("role", "role client", "line 1: expected 'field: value'"),
        ("public", "public: short", "line 3: 'public' is not a key of 40 characters"),
        ("secret", "secret: " + "~" * 40, "line 4: 'secret' is not a key of 40 characters"),
        ("name", "name: clïent", "cannot be read"),
    ],
)
def test_a_key_file_that_makes_no_sense_is_named_with_the_line(keys: Path, line: str, instead: str, why: str):
    path = keys / "client.key"
    lines = path.read_text().splitlines()
    secret = read_key_file(path).secret.decode()
    path.write_text("\n".join(instead if one.startswith(line) else one for one in lines), encoding="utf-8")
    with pytest.raises(KeyFileError) as raised:
        read_key_file(path)
    assert str(path) in str(raised.value)
    assert why in str(raised.value)
    assert secret not in str(raised.value)
    assert "~" * 40 not in str(raised.value)


def test_a_key_file_that_is_not_there_is_named(made: Path):
    with pytest.raises(KeyFileError, match=f"there is no key file {made}/other.key"):
        read_key_file(made / "other.key")


def test_keys_that_others_can_read_are_refused_with_the_mend(keys: Path):
    path = keys / "client.key"
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=f"{path} can be read by others: chmod 600 {path}"):
        read_key_file(path)
    path.chmod(0o600)
    keys.chmod(0o711)
    with pytest.raises(KeyFileError, match=f"{keys} can be read by others: chmod 700 {keys}"):
        load_key("client", keys, {})


def test_keys_of_another_user_are_refused(keys: Path, monkeypatch: pytest.MonkeyPatch):
    path = keys / "client.key"
    of_another(path, monkeypatch)
    if path.stat().st_uid == 0:  # what root owns may be used by all
        return
    with pytest.raises(KeyFileError, match="belongs to another user: copy it and own the copy"):
        read_key_file(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_regular_file_is_no_key_file(keys: Path, make: Callable[[Path, int], None]):
    path = keys / "odd.key"
    make(path, 0o600)
    with pytest.raises(KeyFileError) as raised:
        read_key_file(path)
    assert str(raised.value) == f"{path} is no regular file: a key is read from a file"


def test_a_pipe_among_the_authorized_keys_authorizes_nobody(keys: Path):
    os.mkfifo(keys / "authorized" / "odd.pub", 0o600)
    assert len(KeyRing(keys).read()) == len(ROLES)


# ---- who may connect


def test_a_key_that_is_authorized_may_connect_under_its_name(keys: Path):
    public = b"x" * 40
    ring = KeyRing(keys)
    authorize(keys, "worker", "host-7.b", public)
    assert ring.read()[public] == Authorized("worker", "host-7.b")
    assert not (keys / "authorized" / "host-7.b.new").exists()
    (keys / "authorized" / "host-7.b.pub").unlink()
    assert public not in ring.read()


@pytest.mark.parametrize(
    ("role", "name", "why"),
    [
        ("server", "ann", "'server' is no role: choose one of client, worker, operator"),
        ("client", "", "is no name for a key"),
        ("client", "../ann", "is no name for a key"),
        ("client", ".ann", "is no name for a key"),
        ("client", "a" * 65, "is no name for a key"),
    ],
)
def test_neither_other_roles_nor_names_that_lead_elsewhere_are_authorized(keys: Path, role: str, name: str, why: str):
    with pytest.raises(KeyFileError, match=why):
        authorize(keys, role, name, b"x" * 40)


def test_a_file_that_changed_is_read_again_and_another_is_not(keys: Path, monkeypatch: pytest.MonkeyPatch):
    ring = KeyRing(keys)
    before = ring.read()
    reads: list[str] = []
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, **how: (reads.append(path.name), read_text(path, **how))[1])
    assert ring.read() == before
    assert reads == []
    client = keys / "authorized" / "client.pub"
    client.write_text(f"role: operator\nname: ann\npublic: {public_of(keys, 'client').decode()}\n")
    reads.clear()
    assert ring.read()[public_of(keys, "client")] == Authorized("operator", "ann")
    assert "client.pub" in reads
    assert "worker.pub" not in reads


@pytest.mark.parametrize(
    "text",
    [
        "",
        "role: client",
        "public: short\nrole: client",
        "nonsense",
        "role: server\npublic: " + "x" * 40,
        "public: " + "x" * 40,
    ],
)
def test_a_file_that_makes_no_sense_authorizes_nobody(keys: Path, text: str):
    (keys / "authorized" / "odd.pub").write_text(text)
    assert len(KeyRing(keys).read()) == len(ROLES)


def test_a_file_without_a_name_is_named_after_itself(keys: Path):
    (keys / "authorized" / "ann.pub").write_text("role: client\npublic: " + "x" * 40)
    assert KeyRing(keys).read()[b"x" * 40] == Authorized("client", "ann")


def test_other_files_and_links_to_nowhere_are_passed_over(keys: Path):
    (keys / "authorized" / "ann.txt").write_text("role: client\npublic: " + "x" * 40)
    (keys / "authorized" / "gone.pub").symlink_to(keys / "nowhere")
    assert len(KeyRing(keys).read()) == len(ROLES)


def test_a_folder_others_can_write_to_authorizes_nobody(keys: Path, monkeypatch: pytest.MonkeyPatch):
    ring = KeyRing(keys)
    assert ring.read()
    (keys / "authorized").chmod(0o770)
    assert ring.read() == {}
    (keys / "authorized").chmod(0o755)
    assert ring.read()
    of_another(keys / "authorized", monkeypatch)
    assert ring.read() == {}


def test_without_a_folder_nobody_is_authorized_and_it_says_why(keys: Path):
    ring = KeyRing(keys)
    assert ring.read()
    assert ring.problem == ""
    shutil.rmtree(keys / "authorized")
    assert ring.read() == {}
    assert ring.problem == f"{keys}/authorized: No such file or directory"


def test_of_a_folder_that_authorizes_nobody_it_says_why(keys: Path):
    ring = KeyRing(keys)
    (keys / "authorized").chmod(0o770)
    assert ring.read() == {}
    assert ring.problem == f"{keys}/authorized must be yours alone to write to: own it, and chmod 700 it"
    (keys / "authorized").chmod(0o700)
    for path in (keys / "authorized").iterdir():
        path.unlink()
    assert ring.read() == {}
    assert ring.problem == f"{keys}/authorized holds no key"
    authorize(keys, "client", "ann", b"x" * 40)
    assert ring.read()
    assert ring.problem == ""


def fail(monkeypatch: pytest.MonkeyPatch, where: object, name: str, code: int) -> None:
    def failing(*_args: object, **_how: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(where, name, failing)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize(("where", "name"), [(os, "listdir"), (Path, "read_text")])
def test_while_the_process_is_short_of_something_the_last_answer_stands(
    keys: Path, monkeypatch: pytest.MonkeyPatch, where: object, name: str, code: int
):
    ring = KeyRing(keys)
    before = ring.read()
    authorize(keys, "client", "ann", b"x" * 40)
    (keys / "authorized" / "worker.pub").unlink()
    with monkeypatch.context() as short:
        fail(short, where, name, code)
        assert ring.read() == before
        assert KeyRing(keys).read() == {}
    after = ring.read()
    assert after.keys() - before.keys() == {b"x" * 40}
    assert before.keys() - after.keys() == {public_of(keys, "worker")}


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES])
def test_a_folder_that_cannot_be_read_authorizes_nobody(keys: Path, monkeypatch: pytest.MonkeyPatch, code: int):
    ring = KeyRing(keys)
    assert ring.read()
    fail(monkeypatch, os, "listdir", code)
    assert ring.read() == {}


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES])
def test_a_file_that_cannot_be_read_authorizes_nobody(keys: Path, monkeypatch: pytest.MonkeyPatch, code: int):
    ring = KeyRing(keys)
    before = ring.read()
    public = public_of(keys, "client")
    (keys / "authorized" / "client.pub").write_text(f"role: operator\npublic: {public.decode()}\n")
    fail(monkeypatch, Path, "read_text", code)
    assert ring.read() == {key: known for key, known in before.items() if key != public}
