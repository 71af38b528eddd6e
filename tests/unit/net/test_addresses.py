import os
from pathlib import Path

import pytest

from scaler.errors import AddressError
from scaler.net.addresses import (
    MAX_IPC_BYTES,
    Address,
    IpcAddress,
    TcpAddress,
    check_private,
    parse_address,
    run_directory,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:8516", TcpAddress("127.0.0.1", 8516)),
        ("127.0.0.1:8516", TcpAddress("127.0.0.1", 8516)),
        ("node-7.cluster_a.example:0", TcpAddress("node-7.cluster_a.example", 0)),
        ("tcp://*:65535", TcpAddress("0.0.0.0", 65535)),  # noqa: S104  # what zmq means by it
        ("tcp://[::1]:8516", TcpAddress("::1", 8516)),
        ("[fe80::1]:1", TcpAddress("fe80::1", 1)),
        ("ipc:///tmp/a socket", IpcAddress(Path("/tmp/a socket"))),  # noqa: S108  # nothing is made there
    ],
)
def test_addresses_are_read_as_users_write_them(text: str, address: Address):
    assert parse_address(text, {}) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("udp://host:1", "begins with neither tcp:// nor ipc://"),
        ("http://host:1", "begins with neither"),
        ("", "expected tcp://host:port"),
        ("host", "expected tcp://host:port"),
        ("tcp://host", "expected tcp://host:port"),
        ("tcp://host:", "expected tcp://host:port"),
        ("tcp://:8516", "expected tcp://host:port"),
        ("tcp://host:65536", "a port from 0 to 65535"),
        ("tcp://host:-1", "a port from 0 to 65535"),
        ("tcp://host:1/path", "expected tcp://host:port"),
        ("tcp://host:8516 ", "expected tcp://host:port"),
        ("tcp://::1:8516", "an IPv6 host in brackets"),
        ("tcp://[::zz]:8516", "an IPv6 host in brackets"),
        ("tcp://[1::2::3]:8516", "an IPv6 host in brackets"),
        ("ipc://", "expected ipc://name or ipc:///path"),
        ("ipc:///tmp/folder/", "expected ipc://name or ipc:///path"),
        ("ipc:///tmp/a\0b", "expected ipc://name or ipc:///path"),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_expected(text: str, why: str):
    with pytest.raises(AddressError) as raised:
        parse_address(text, {})
    assert repr(text) in str(raised.value)
    assert why in str(raised.value)


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:8516", "tcp://[::1]:0", "ipc:///tmp/socket"])
def test_an_address_is_shown_as_it_is_read(text: str):
    assert str(parse_address(text, {})) == text


def test_what_only_this_machine_can_reach():
    assert all(parse_address(text, {}).is_loopback for text in ("127.0.0.9:1", "[::1]:1", "localhost:1", "ipc:///a"))
    assert not any(parse_address(text, {}).is_loopback for text in ("*:1", "10.0.0.1:1", "[::]:1", "localhost.de:1"))


def test_names_and_numbers_are_told_apart():
    assert TcpAddress("10.0.0.1", 1).is_numeric
    assert TcpAddress("::1", 1).is_numeric
    assert not TcpAddress("localhost", 1).is_numeric


# ---- sockets in the run directory


def test_a_name_lies_in_a_folder_of_the_user_made_for_it(tmp_path: Path):
    address = parse_address("ipc://mine", {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert address == IpcAddress(tmp_path / "scaler" / "mine")
    assert (tmp_path / "scaler").stat().st_mode & 0o777 == 0o700
    assert run_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "scaler"


@pytest.mark.parametrize("environment", [{}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "/nowhere/at/all"}])
def test_without_a_runtime_folder_one_of_the_users_own_is_used(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    made: list[Path] = []
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: made.append(path))
    monkeypatch.setattr("scaler.net.addresses.check_private", lambda _path: None)
    assert run_directory(environment) == Path(f"/tmp/scaler-{os.getuid()}")  # noqa: S108  # nothing is made there
    assert made == [Path(f"/tmp/scaler-{os.getuid()}")]  # noqa: S108  # see above


def test_a_path_that_no_socket_can_have_is_refused():
    longest = "/" + "x" * (MAX_IPC_BYTES - 1)
    assert parse_address(f"ipc://{longest}", {}) == IpcAddress(Path(longest))
    with pytest.raises(AddressError, match="longer than 107 bytes: choose a shorter one"):
        parse_address(f"ipc://{longest}x", {})
    with pytest.raises(AddressError, match="longer than 107 bytes"):
        parse_address("ipc:///" + "ü" * 54, {})


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path):
    folder = tmp_path / "scaler"
    folder.mkdir()
    folder.chmod(0o750)
    with pytest.raises(AddressError, match=f"{folder} must be a folder of your own with mode 0700"):
        parse_address("ipc://mine", {"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_link_to_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "scaler").symlink_to(tmp_path / "real")
    with pytest.raises(AddressError, match="a folder of your own"):
        run_directory({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path.chmod(0o700)
    check_private(tmp_path)
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(AddressError, match="a folder of your own"):
        check_private(tmp_path)


@pytest.mark.parametrize("is_link", [False, True])
def test_what_is_in_the_way_is_named(tmp_path: Path, *, is_link: bool):
    place = tmp_path / "scaler"
    if is_link:
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.write_text("in the way")
    with pytest.raises(AddressError, match=f"{place} must be a folder, for sockets: move away what is there"):
        run_directory({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_path: Path, **_how: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(AddressError, match=r"cannot make the folder .*/scaler for sockets: No space left on device"):
        run_directory({"XDG_RUNTIME_DIR": str(tmp_path)})
