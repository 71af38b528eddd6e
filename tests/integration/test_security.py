"""Who may come in, who may not, and what either is told; that nobody is harmed by those who may not."""

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import zmq

from scaler import Client
from scaler.cli.endings import ExitCode
from scaler.errors import AuthenticationError, KeyFileError
from scaler.ids import Incarnation
from scaler.net.keys import make_key_directory, read_key_file
from scaler.net.transport import Lost
from scaler.refusals import BURST
from scaler.scheduler.shell import HOUSEKEEPING_S
from tests.contract.zmtp import RawPeer, bare_line, raw_peer
from tests.integration.processes import PATIENCE_S, Command, Place, wait_until
from tests.integration.security_peers import (
    Peer,
    bare_socket,
    good_client,
    no_key,
    own_key,
    refusal_of,
    say_to_port,
    stray_key,
    use_key,
    use_password,
)

#: how much later than it could be noticed something may be seen to be noticed
SLACK_S = 0.3
#: how much larger a scheduler may stay after it had to do with a large message
SPARE_BYTES = 32 << 20
REFUSED = re.compile(
    r".*: refused (?:connection=\d+ )?address=(\S+) (?:key='(.*?)' )?reason=(['\"])(.*)\3(?: socket=monitor)?"
)


#: what the log tells of those who knock below, by the name of their key: clients try three times
LINES = Counter({
    ("", "it uses another server key"): 3,
    ("", "its key is not authorised"): 3,
    ("worker", "a worker key may not act as client"): 1,
    ("client", "a client key may not act as worker"): 1,
})  # fmt: skip
#: those without a key, and what is said of them: it depends on which end is first to see that it will not do
STRANGERS = 4
STRANGE = {
    "it uses another security mechanism, or none",
    "it broke off the handshake, or speaks another protocol",
    "it ended without a word, or speaks another protocol",
}


def keys_of(place: Place) -> Path:
    """The key directory that the first scheduler here has made."""
    return place.folder / "c" / "scaler" / "keys"


def refusals(scheduler: Command) -> list[tuple[str, str, str]]:
    """Address, key and reason of whom it has refused, a line each."""
    found = [REFUSED.fullmatch(line) for line in scheduler.out.splitlines() if ": refused " in line]
    assert None not in found, scheduler.out
    return [(match[1], match[2] or "", match[4]) for match in found if match is not None]


def refused_client(address: str, key_file: Path) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Client(address, key_file=key_file)
    assert str(caught.value) == (
        f"{address}: the scheduler does not accept the key {key_file}: copy its own client.key here "
        "(from the directory it printed at its start) and name it with key_file= or SCALER_KEY_FILE"
    )


def test_who_may_not_come_in_is_refused_with_one_line_while_a_good_client_works_on(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    keys = keys_of(place)
    other = place.folder / "other"
    make_key_directory(other)
    stray = stray_key(place.folder / "stray.key", "client", read_key_file(keys / "server.key").public)
    knocks: dict[str, Callable[[], object]] = {
        "another user": lambda: refused_client(address, other / "client.key"),
        "a wrong key": lambda: refused_client(address, stray.path),
        "no key": lambda: bare_socket(address, no_key),
        "a password": lambda: bare_socket(address, use_password),
        "noise": lambda: say_to_port(address, b"GET / HTTP/1.1\r\n\r\n"),
        "silence": lambda: say_to_port(address, b""),
        "a worker as client": lambda: refusal_of(address, read_key_file(keys / "worker.key"), "client"),
        "a client as worker": lambda: refusal_of(address, read_key_file(keys / "client.key"), "worker"),
    }
    with good_client(address), ThreadPoolExecutor(len(knocks)) as pool:
        futures = {name: pool.submit(knock) for name, knock in knocks.items()}
        told = {name: future.result() for name, future in futures.items()}
        expected = sum(LINES.values()) + STRANGERS
        wait_until(lambda: len(refusals(scheduler)) >= expected, f"all were refused: {scheduler.out}")
    lines = refusals(scheduler)
    assert [where for where, _, reason in lines if not is_told(where, reason)] == []
    counted = Counter((key, reason) for _, key, reason in lines)
    assert counted - (counted - LINES) == LINES
    strange = {reason: number for (_, reason), number in (counted - LINES).items()}
    assert set(strange) <= STRANGE
    # where the machine stands still a handshake takes too long, and there is one more
    assert sum(strange.values()) >= STRANGERS
    assert told["silence"] in [where for where, _, _ in lines]
    assert (told["a worker as client"].text, told["a client as worker"].text) == (
        "a worker key may not act as client",
        "a client key may not act as worker",
    )


def is_told(where: str, reason: str) -> bool:
    """Whether there is an address; what libzmq cuts off before anybody can look has none, but a key is waited for."""
    has_waited = "key" in reason and reason != "it uses another server key"
    return re.fullmatch(r"127\.0\.0\.1:\d+", where) is not None or (where == "unknown" and not has_waited)


@pytest.mark.parametrize("socket", ["listener", "monitor"])
def test_each_attempt_is_one_line_in_the_log(place: Place, socket: str):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--monitor-address", "tcp://127.0.0.1:0")
    keys = keys_of(place)
    client = read_key_file(keys / "client.key")
    stray = stray_key(place.folder / "stray.key", "client", client.server)
    kind = zmq.DEALER
    if socket == "monitor":
        kind, address = zmq.SUB, scheduler.wait_for("monitor address is ").rpartition(" ")[2]
    knocks: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: bare_socket(address, use_key(stray), kind), {"its key is not authorised"}),
        (lambda: bare_socket(address, use_key(client, stray.public), kind), {"it uses another server key"}),
        (lambda: bare_socket(address, no_key, kind), STRANGE),
        (lambda: bare_socket(address, use_password, kind), STRANGE),
        (lambda: say_to_port(address, b"GET / HTTP/1.1\r\n\r\n"), STRANGE),
        (lambda: say_to_port(address, b""), STRANGE),
        (lambda: _hang_up(address), STRANGE),
    ]
    if socket == "listener":
        knocks.append((lambda: refusal_of(address, client, "worker"), {"a client key may not act as worker"}))
    else:
        worker = read_key_file(keys / "worker.key")
        knocks.append((lambda: bare_socket(address, use_key(worker), kind), {"a worker key may not enter here"}))
    for number, (knock, reasons) in enumerate(knocks, 1):
        knock()
        wait_until(lambda: len(refusals(scheduler)) >= number, f"{reasons}: {scheduler.out}")  # noqa: B023  # waited for
        lines = refusals(scheduler)
        assert len(lines) == number
        assert lines[-1][2] in reasons
        assert is_told(lines[-1][0], lines[-1][2])
    assert scheduler.out.count(" socket=monitor") == (len(knocks) if socket == "monitor" else 0)


def _hang_up(address: str) -> None:
    with bare_line(address):
        pass


def test_a_crowd_that_is_refused_is_counted_rather_than_told_one_by_one(place: Place):
    crowd = 200
    scheduler, address = place.scheduler()
    place.cluster(address, 1)

    def counted() -> int:
        held_back = re.findall(r"refused (\d+) more, not shown one by one", scheduler.out)
        return scheduler.out.count(": refused address=") + sum(map(int, held_back))

    with good_client(address), ThreadPoolExecutor(8) as pool:
        list(pool.map(say_to_port, [address] * crowd, [b"GET / HTTP/1.1\r\n\r\n" * 8] * crowd))
        wait_until(lambda: counted() == crowd, f"all {crowd} are counted, not {counted()}")
    assert len(scheduler.out.splitlines()) < BURST + crowd // 4


def test_who_has_a_good_key_and_says_nothing_is_cut_off_with_one_line(place: Place):
    scheduler, address = place.scheduler()
    silent = Peer(address, read_key_file(keys_of(place) / "client.key"))
    try:
        assert isinstance(silent.hear(lambda one: isinstance(one, Lost)), Lost)
    finally:
        silent.close()
    wait_until(lambda: refusals(scheduler), "it is told of")
    ((where, _, reason),) = refusals(scheduler)
    assert where.startswith("127.0.0.1:")
    assert reason == "it said nothing for 5 s"


def test_a_message_that_never_ends_is_cut_off_and_its_memory_given_back(place: Place):
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--insecure")
    before = psutil.Process(scheduler.pid).memory_info().rss
    with raw_peer(address, "DEALER") as peer:
        threading.Thread(target=_send_for_ever, args=(peer,), daemon=True).start()
        wait_until(lambda: refusals(scheduler), "it is told of")
    ((where, _, reason),) = refusals(scheduler)
    assert where.startswith("127.0.0.1:")
    assert reason == "it sends a message that does not end"
    wait_until(lambda: psutil.Process(scheduler.pid).memory_info().rss < before + SPARE_BYTES, "it is given back")


def _send_for_ever(peer: RawPeer) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer.say_part(bytes(1 << 20))
            time.sleep(0.01)  # memory is for others too


def test_a_client_whose_key_is_taken_back_is_cut_off_within_a_second_and_no_other(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    keys = keys_of(place)
    key_file = own_key(keys, "client", "ann")
    wait_until(lambda: _connects(address, key_file), "the new key is known")
    with good_client(address), Client(address, key_file=key_file) as ann:
        assert ann.submit(abs, -3).result() == 3
        waiting = ann.submit(_sleep, 60)
        (keys / "authorized" / "ann.pub").unlink()
        noticed_s = wait_until(lambda: ("ann", "its key was revoked") in _keyed(scheduler), "it is noticed")
        with pytest.raises(AuthenticationError, match=re.escape(str(key_file))):
            waiting.result(timeout=10)
    assert noticed_s <= HOUSEKEEPING_S + SLACK_S
    assert _keyed(scheduler).count(("ann", "its key was revoked")) == 1


def test_who_has_seen_the_name_of_a_task_cannot_take_over_the_link_of_its_client(place: Place):
    scheduler, address = place.scheduler()
    place.cluster(address, 2)
    key = read_key_file(keys_of(place) / "client.key")
    with Client(address) as victim:
        future = victim.submit(time.sleep, 1.0)
        stolen = str(future.task_id).partition("-")[0]
        for secret in (b"", b"another's"):
            rejected = refusal_of(address, key, "client", who=Incarnation(int(stolen, 16)), secret=secret)
            assert rejected.text == f"it does not show that the incarnation {stolen} is its own"
        assert future.result(PATIENCE_S) is None
    assert scheduler.out.count(rejected.text) == 2


def test_a_worker_cluster_whose_key_is_taken_back_ends_and_its_work_goes_elsewhere(place: Place):
    keys = keys_of(place)
    make_key_directory(keys)
    own_key(keys, "worker", "rented")
    scheduler, address = place.scheduler()
    revoked = place.start("scaler_worker", "-n", "1", address, "--key-file", str(keys.parent / "rented.key"))
    revoked.wait_for("connected")
    with Client(address) as client:
        future = client.submit(_run_twice, place.path("runs"))
        wait_until(lambda: place.lines("runs") == ["began"], "the task runs")
        place.cluster(address, 1)
        (keys / "authorized" / "rented.pub").unlink()
        assert future.result(timeout=15) == ["began", "began"]
    assert revoked.wait() == ExitCode.NOT_AUTHORIZED
    assert revoked.err.count("\n") == 1
    assert _keyed(scheduler).count(("rented", "its key was revoked")) == 1


def _connects(address: str, key_file: Path) -> bool:
    try:
        Client(address, key_file=key_file).disconnect()
    except AuthenticationError:
        return False
    return True


def _keyed(scheduler: Command) -> list[tuple[str, str]]:
    return [(key, reason) for _, key, reason in refusals(scheduler) if key]


def _sleep(seconds: float) -> None:
    import time  # noqa: PLC0415  # it runs elsewhere

    time.sleep(seconds)


def _run_twice(path: str) -> list[str]:
    """Hang in the first run; tell in the second what has run."""
    import time  # noqa: PLC0415  # it runs elsewhere

    with open(path, "a", encoding="utf-8") as file:
        file.write("began\n")
    with open(path, encoding="utf-8") as file:
        lines = file.read().split()
    if len(lines) == 1:
        time.sleep(60)
    return lines


# ---- key files


def secrets_in(keys: Path) -> list[str]:
    """Every secret of a key directory."""
    return [read_key_file(path).secret.decode() for path in sorted(keys.glob("*.key"))]


def test_no_secret_is_in_a_command_line_an_environment_or_a_log(place: Place):
    _, address = place.scheduler()
    place.cluster(address, 2)
    client = place.script(
        "import sys\nfrom scaler import Client\nclient = Client(sys.argv[1])\n"
        "print(client.map(abs, [-1, 2]), client, flush=True)\nsys.stdin.read()\nimport time\ntime.sleep(60)\n",
        address,
    )
    client.wait_for("[1, 2]")
    found = secrets_in(keys_of(place))
    assert len(found) == 4
    told = [
        path.read_bytes()
        for pid in place.processes()
        for path in (Path(f"/proc/{pid}/cmdline"), Path(f"/proc/{pid}/environ"))
    ]
    assert len(told) >= 2 * 6
    told += [path.read_bytes() for pattern in ("*.out", "*.err") for path in place.folder.glob(pattern)]
    assert [secret for secret in found if any(secret.encode() in text for text in told)] == []


@pytest.mark.parametrize("spoil", [lambda text: text.replace("secret: ", "secret: x"), lambda text: text[:-60]])
def test_a_spoilt_key_file_is_named_and_its_secret_is_not(place: Place, spoil: Callable[[str], str]):
    keys = place.folder / "k"
    make_key_directory(keys)
    path = keys / "client.key"
    secret = read_key_file(path).secret.decode()
    assert secret not in repr(read_key_file(path))
    path.write_text(spoil(path.read_text(encoding="ascii")), encoding="ascii")
    with pytest.raises(KeyFileError, match=re.escape(str(path))) as caught:
        Client("tcp://127.0.0.1:1", key_file=path)
    assert secret not in str(caught.value)


def test_whatever_holds_keys_is_readable_by_nobody_else(place: Place):
    place.scheduler()
    folder = keys_of(place).parent
    modes = {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in [folder, *sorted(folder.rglob("*"))]
    }
    files = [
        ".keys.lock",
        "keys/server.key",
        *(f"keys/{role}.key" for role in ("client", "operator", "worker")),
        *(f"keys/authorized/{role}.pub" for role in ("client", "operator", "worker")),
    ]
    assert modes == {
        **dict.fromkeys([".", "keys", "keys/authorized"], "0o700"),
        **dict.fromkeys(files, "0o600"),
    }


def test_keygen_makes_keys_once_and_says_so_the_second_time(place: Place):
    keys = place.folder / "k"
    first = place.start("scaler", "keygen", str(keys))
    assert first.wait() == 0
    assert first.out.splitlines()[0] == f"made keys: {keys}"
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    second = place.start("scaler", "keygen", str(keys))
    assert (second.wait(), second.err) == (0, "")
    assert second.out.splitlines()[0] == f"these keys were there already, nothing was changed: {keys}"
    assert {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()} == before


def test_a_key_file_that_others_can_read_is_refused_with_the_mend(place: Place):
    keys = place.folder / "k"
    make_key_directory(keys)
    path = keys / "client.key"
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=re.escape(f"{path} can be read by others: chmod 600 {path}")):
        Client("tcp://127.0.0.1:1", key_file=path)
    keys.chmod(0o755)
    for words in (("scaler_scheduler", "tcp://127.0.0.1:0"), ("scaler_worker", "tcp://127.0.0.1:1")):
        command = place.start(*words, "--key-file", str(keys))
        assert command.wait() == ExitCode.BAD_INPUT
        assert command.err == f"{words[0]}: {keys} can be read by others: chmod 700 {keys}\n"


def test_a_scheduler_to_which_nobody_can_connect_says_so_in_one_line_and_when_it_comes_to_that(place: Place):
    keys = place.folder / "k"
    make_key_directory(keys)
    authorized, elsewhere = keys / "authorized", place.folder / "elsewhere"
    scheduler, address = place.scheduler("tcp://127.0.0.1:0", "--key-file", str(keys))
    authorized.rename(elsewhere)
    line = f": keys: nobody can connect: {authorized}: No such file or directory"
    assert scheduler.wait_for("nobody can connect").endswith(line)
    other, _ = place.scheduler("tcp://127.0.0.1:0", "--key-file", str(keys))
    assert other.wait_for("nobody can connect").endswith(line)
    elsewhere.rename(authorized)
    wait_until(lambda: _connects(address, keys / "client.key"), "the keys count again")
    assert scheduler.out.count("nobody can connect") == other.out.count("nobody can connect") == 1


# ---- what must be typed


@pytest.mark.parametrize(
    ("command", "address"), [("scaler_scheduler", "tcp://0.0.0.0:0"), ("scaler_worker", "tcp://10.255.255.1:1")]
)
def test_insecure_where_others_can_reach_it_needs_a_second_flag(place: Place, command: str, address: str):
    started = place.start(command, address, "--insecure")
    assert started.wait() == ExitCode.BAD_INPUT
    assert started.err.count("\n") == 1
    assert "--insecure-off-loopback" in started.err
    allowed = place.start(command, address, "--insecure", "--insecure-off-loopback")
    allowed.wait_for("listening on" if command == "scaler_scheduler" else "ClusterProcess: starting")
