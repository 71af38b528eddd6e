"""Modules of the client's own reach workers that lack them, by content: what has changed is never run as it was."""

import signal
import textwrap
from pathlib import Path

import pytest

from tests.integration.processes import Command, Place, wait_until


@pytest.fixture
def elsewhere(place: Place, address: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A cluster of two workers that has nothing of what the client has."""
    return cluster(place, address, 2, monkeypatch)


def cluster(place: Place, address: str, workers: int, monkeypatch: pytest.MonkeyPatch, *options: str) -> Command:
    """A cluster whose working directory is empty."""
    folder = place.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        return place.cluster(address, workers, *options)


def write(place: Place, name: str, text: str) -> Path:
    """A file of the project that the client runs in."""
    path = place.folder / "project" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run(place: Place, text: str, name: str = "main.py") -> str:
    """What a script of the project prints, in which `client` is there."""
    head = f"import sys\nfrom scaler import Client\nclient = Client({place_address(place)!r})\n"
    script = write(place, name, head + textwrap.dedent(text))
    command = place.start("python", str(script))
    assert command.wait() == 0, command.err
    return command.out


def place_address(place: Place) -> str:
    (address,) = place._addresses
    return address


@pytest.mark.usefixtures("elsewhere")
def test_a_module_beside_the_script_is_imported_by_workers_that_lack_it(place: Place):
    write(place, "helper.py", "def double(x): return 2 * x")
    assert run(place, "import helper; print(client.map(helper.double, range(4)))") == "[0, 2, 4, 6]\n"


@pytest.mark.usefixtures("elsewhere")
def test_a_package_comes_whole_with_what_it_imports_and_its_data(place: Place):
    write(place, "shapes/__init__.py", "from shapes.area import area")
    write(
        place,
        "shapes/area.py",
        "import units\ndef area(a, b):\n    from shapes import lazy\n    return lazy.f(a * b) + units.UNIT",
    )
    write(
        place,
        "shapes/lazy.py",
        "import importlib.resources as r\ndef f(x): return f\"{x} {(r.files('shapes') / 'word.txt').read_text()} \"",
    )
    write(place, "shapes/word.txt", "square")
    write(place, "units.py", "UNIT = 'm'")
    assert run(place, "import shapes; print(client.submit(shapes.area, 2, 3).result())") == "6 square m\n"


@pytest.mark.usefixtures("elsewhere")
def test_what_a_function_of_the_script_uses_and_imports_comes_along(place: Place):
    write(place, "helper.py", "def double(x): return 2 * x")
    write(place, "later.py", "def half(x): return x / 2")
    text = """
    import helper
    def work(x):
        import later
        return later.half(helper.double(x)), later.__file__ != helper.__file__
    print(client.map(work, [1, 2]), client.submit(lambda: __import__("helper").double(4)).result())
    """
    assert run(place, text) == "[(1.0, True), (2.0, True)] 8\n"


@pytest.mark.usefixtures("elsewhere")
def test_arguments_and_results_of_classes_of_the_project_pass(place: Place):
    write(
        place,
        "points.py",
        "class Point:\n    def __init__(self, x): self.x = x\n    def __eq__(self, other): return self.x == other.x",
    )
    text = """
    import operator, points
    print(client.submit(operator.attrgetter("x"), points.Point(3)).result())
    print(client.map(points.Point, [1, 2]) == [points.Point(1), points.Point(2)])
    """
    assert run(place, text) == "3\nTrue\n"


@pytest.mark.usefixtures("elsewhere")
def test_what_has_changed_is_never_run_as_it_was(place: Place):
    for version in range(4):
        write(place, "helper.py", f"def version(_): return {version}")
        assert run(place, "import helper; print(set(client.map(helper.version, range(50))))") == f"{{{version}}}\n"


@pytest.mark.usefixtures("elsewhere")
def test_a_module_that_is_loaded_anew_is_sent_anew(place: Place):
    text = """
    import importlib, pathlib, helper
    for version in range(5):
        pathlib.Path(helper.__file__).write_text(f"def version(_): return {version}" + " " * version)
        importlib.reload(helper)
        assert set(client.map(helper.version, range(20))) == {version}
        assert client.submit(lambda: helper.version(0)).result() == version
    """
    write(place, "helper.py", "def version(_): return -1")
    assert run(place, text) == ""


@pytest.mark.usefixtures("elsewhere")
def test_a_part_that_is_loaded_anew_is_seen_by_the_functions_that_call_it_at_once(place: Place):
    text = """
    import importlib, pathlib, pkg, pkg.part
    for version in range(5):
        pathlib.Path(pkg.part.__file__).write_text(f"def version(): return {version}" + " " * version)
        importlib.reload(pkg.part)
        assert client.map(pkg.work, range(4)) == [pkg.work(0)] * 4 == [version] * 4
    """
    write(place, "pkg/__init__.py", "from pkg import part\ndef work(_): return part.version()")
    write(place, "pkg/part.py", "def version(): return -1")
    assert run(place, text) == ""


@pytest.mark.usefixtures("elsewhere")
def test_what_is_edited_while_a_program_runs_does_not_change_it_nor_end_its_workers(place: Place):
    text = """
    import os, pathlib, pkg, pkg.part
    seen = set()
    for step in range(6):
        assert client.map(pkg.work, range(4)) == [100] * 4
        seen.update(client.map(pkg.pid, range(4)))
        pathlib.Path(pkg.part.__file__).write_text("def version(): return (" * step)
        pathlib.Path(pkg.__file__).with_name("run.log").write_text("a line" * step)
    print(len(seen))
    """
    write(
        place,
        "pkg/__init__.py",
        "import os\nfrom pkg import part\ndef work(_): return part.version()\ndef pid(_): return os.getpid()",
    )
    write(place, "pkg/part.py", "def version(): return 100")
    assert int(run(place, text)) <= 2


@pytest.mark.usefixtures("elsewhere")
def test_code_is_sent_once_for_each_content(place: Place):
    write(place, "helper.py", "def double(x): return 2 * x\n" + "# " + 500_000 * "x")
    text = """
    import helper
    from scaler.ledger.functions import FunctionShelf
    said, define = [], FunctionShelf.define
    def counted(self, function):
        found = define(self, function)
        said.extend(one for one in found if one.message.size_bytes > 400_000)
        return found
    FunctionShelf.define = counted
    print(sum(client.gather([client.submit(lambda n=n: helper.double(n)) for n in range(300)])))
    print(len(said))
    """
    assert run(place, text) == f"{sum(2 * n for n in range(300))}\n1\n"


def test_modules_that_workers_have_with_the_same_content_are_used_where_they_are(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
):
    theirs = place.folder / "theirs"
    theirs.mkdir()
    (theirs / "helper.py").write_text("def where(): return __file__", encoding="utf-8")
    cluster(place, address, 1, monkeypatch, "--python-path", str(theirs))
    write(place, "helper.py", "def where(): return __file__")
    assert run(place, "import helper; print(client.submit(helper.where).result())") == f"{theirs}/helper.py\n"


def test_modules_that_workers_have_otherwise_are_not_used(place: Place, address: str, monkeypatch: pytest.MonkeyPatch):
    theirs = place.folder / "theirs"
    theirs.mkdir()
    (theirs / "helper.py").write_text("def version(): return 'theirs'", encoding="utf-8")
    cluster(place, address, 1, monkeypatch, "--python-path", str(theirs))
    write(place, "helper.py", "def version(): return 'ours'")
    text = """
    import helper
    print(client.submit(helper.version).result())
    print(Client(client._config.address, ship_code=False).submit(helper.version).result())
    print(client.submit(helper.version).result())
    """
    assert run(place, text) == "ours\ntheirs\nours\n"


@pytest.mark.usefixtures("elsewhere")
def test_without_ship_code_nothing_is_sent(place: Place):
    write(place, "helper.py", "def double(x): return 2 * x")
    text = """
    import helper
    error = Client(client._config.address, ship_code=False).submit(helper.double, 1).exception()
    print(type(error).__name__, error)
    """
    assert run(place, text).startswith("DeserializeObjectError the function cannot be loaded here: ModuleNotFoundError")


def test_what_was_kept_of_it_is_private_and_gone_with_the_cluster(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(place.folder))

    def kept() -> list[Path]:
        return list(place.folder.glob("scaler-code-*"))

    for number in (1, 2):
        command = cluster(place, address, 1, monkeypatch)
        write(place, "helper.py", f"def double(x): return {number} * x")
        assert run(place, "import helper; print(client.submit(helper.double, 2).result())") == f"{2 * number}\n"
        (folder,) = kept()
        assert folder.stat().st_mode & 0o777 == 0o700
        if number == 1:
            command.end()
        else:
            command.kill()
        wait_until(lambda: not kept(), "it is gone")


def test_what_is_kept_of_it_stays_below_a_limit_while_it_changes(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(place.folder))
    cluster(place, address, 1, monkeypatch)
    text = """
    import importlib, pathlib, helper
    for version in range(14):
        pathlib.Path(helper.__file__).write_text(f"def version(_): return {version}\\n#" + (14 << 20) * "x")
        importlib.reload(helper)
        assert client.map(helper.version, range(4)) == [version] * 4
    """
    write(place, "helper.py", "def version(_): return -1")
    assert run(place, text) == ""
    (folder,) = place.folder.glob("scaler-code-*")
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert 2 * (14 << 20) <= kept <= 260 << 20


def test_code_is_at_the_scheduler_when_its_client_stands_still(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
):
    write(place, "helper.py", "def note(path):\n    with open(path, 'a') as file: file.write('ran\\n')")
    text = f"""
    import helper
    future = client.submit(helper.note, {place.path("runs")!r})
    while "has not been sent" in future.explain():
        pass
    print("submitted", flush=True)
    future.result()
    """
    head = f"from scaler import Client\nclient = Client({address!r})\n"
    command = place.start("python", str(write(place, "main.py", head + textwrap.dedent(text))))
    command.wait_for("submitted")
    command.send(signal.SIGSTOP)
    cluster(place, address, 1, monkeypatch)
    wait_until(lambda: place.lines("runs"), "it runs")
    command.send(signal.SIGCONT)
    assert command.wait() == 0, command.err


def test_code_is_there_again_for_workers_in_place_of_dead_ones_and_for_new_clusters(
    place: Place, address: str, monkeypatch: pytest.MonkeyPatch
):
    first = cluster(place, address, 1, monkeypatch)
    write(place, "helper.py", "import os\ndef leave(x):\n    os._exit(3)\ndef double(x): return 2 * x")
    text = """
    import helper, pathlib, time
    print(client.submit(helper.double, 1).result(), type(client.submit(helper.leave, 1).exception()).__name__)
    print(client.submit(helper.double, 2).result(), flush=True)
    pathlib.Path("ready").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    print(client.submit(helper.double, 3).result())
    """
    head = f"from scaler import Client\nclient = Client({address!r})\n"
    monkeypatch.chdir(write(place, "main.py", head + textwrap.dedent(text)).parent)
    command = place.start("python", "main.py")
    wait_until(lambda: Path("ready").exists() or command.process.poll() is not None, lambda: command.err)
    first.end()
    cluster(place, address, 1, monkeypatch)
    Path("go").touch()
    assert command.wait() == 0, command.err
    assert command.out == "2 WorkerDiedError\n4\n6\n"


def test_two_clients_with_different_content_share_a_worker(place: Place, address: str, monkeypatch: pytest.MonkeyPatch):
    cluster(place, address, 1, monkeypatch)
    scripts = []
    for version in (1, 2):
        folder = f"v{version}"
        write(
            place, f"{folder}/helper.py", f"import time\ndef version(_):\n    time.sleep(0.002)\n    return {version}"
        )
        text = (
            f"from scaler import Client\nimport helper\nprint(set(Client({address!r}).map(helper.version, range(300))))"
        )
        scripts.append(place.start("python", str(write(place, f"{folder}/main.py", text))))
    assert [command.wait() for command in scripts] == [0, 0]
    assert [command.out for command in scripts] == ["{1}\n", "{2}\n"]
