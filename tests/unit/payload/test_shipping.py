"""Which modules of its own a process sends along with functions."""

import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from scaler.payload import functions, shipping
from scaler.payload.archives import place_of
from scaler.payload.functions import load_function, pickle_function
from scaler.payload.shipping import Shipping
from scaler.protocol.code import NO_CODE, OWN_CODE, WHOSE, code_of

Write = Callable[[str, str], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a process that has nothing else of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "main.py"), raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def ours(project: Path, monkeypatch: pytest.MonkeyPatch) -> Shipping:
    assert project == Path.cwd()
    made = Shipping()
    monkeypatch.setattr(shipping, "shipping", made)
    monkeypatch.setattr(functions, "shipping", made)
    return made


def write(project: Path, name: str, text: str = "") -> None:
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def change(project: Path, name: str, text: str) -> None:
    """Write a module anew that has been imported, and load it anew."""
    write(project, f"{name.replace('.', '/')}.py", text)
    importlib.reload(sys.modules[name])


def names(ours: Shipping) -> list[str]:
    """The modules that would go along now."""
    ours.look_again()
    return [name for name, _ in ours.code() if name != WHOSE]


def content(ours: Shipping, name: str) -> dict[str, bytes]:
    """The files that go along of one of them."""
    ours.look_again()
    data = ours.archive(dict(ours.code())[name])
    assert data is not None
    return dict(msgspec.msgpack.decode(data, type=list[tuple[str, bytes]]))


def test_a_process_without_modules_of_its_own_sends_none(ours: Shipping):
    assert names(ours) == []
    assert ours.code() == NO_CODE


def test_what_has_been_imported_goes_along_with_what_that_imports(project: Path, ours: Shipping):
    write(project, "mine.py", "import os, lazy.part as x\nfrom beside import y\n  # import nothing")
    write(project, "lazy/__init__.py", "def f():\n    import deeper\n")
    write(project, "lazy/part.py")
    write(project, "beside.py", "y = 1")
    write(project, "deeper.py")
    write(project, "unused.py")
    importlib.import_module("mine")
    assert names(ours) == ["beside", "deeper", "lazy", "mine"]
    assert content(ours, "lazy").keys() == {"lazy/__init__.py", "lazy/part.py"}


def test_modules_below_the_folder_of_the_script_are_ours_too(
    ours: Shipping, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    elsewhere = tmp_path_factory.mktemp("scripts")
    write(elsewhere, "sub/mine.py")
    monkeypatch.syspath_prepend(str(elsewhere / "sub"))
    importlib.import_module("mine")
    assert names(ours) == []
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(elsewhere / "main.py"))
    assert names(ours) == ["mine"]


@pytest.mark.parametrize("folder", ["site-packages", "lib/python3.11/dist-packages"])
def test_what_is_installed_below_it_is_not_ours(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch, folder: str
):
    write(project, f"{folder}/installed.py")
    monkeypatch.syspath_prepend(str(project / folder))
    importlib.import_module("installed")
    assert names(ours) == []


def test_neither_python_s_own_nor_ours_nor_what_has_no_file_goes_along(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch
):
    write(project, "queue.py")
    monkeypatch.setitem(sys.modules, "made", types.ModuleType("made"))
    for name in ("queue", "scaler"):
        fake = types.ModuleType(name)
        fake.__file__ = str(project / "queue.py")
        monkeypatch.setitem(sys.modules, name, fake)
    assert names(ours) == []


def test_a_working_directory_that_is_everything_is_nobody_s(ours: Shipping, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/main.py")
    assert names(ours) == []


def test_a_change_of_content_is_another_code(project: Path, ours: Shipping):
    write(project, "mine.py", "x = 1")
    importlib.import_module("mine")
    ours.look_again()
    before = ours.code()
    assert ours.code() is before
    ours.look_again()
    assert ours.code() is before
    change(project, "mine", "x = 12")
    after = ours.code()
    assert after != before
    assert [name for name, _ in after] == [name for name, _ in before]
    assert content(ours, "mine") == {"mine.py": b"x = 12"}
    assert ours.archive(dict(before)["mine"]) is not None


def test_what_had_gone_before_it_could_be_sent_is_not_sent(project: Path, ours: Shipping):
    write(project, "mine.py")
    importlib.import_module("mine")
    (project / "mine.py").unlink()
    assert names(ours) == []


def test_what_is_edited_or_goes_while_a_program_runs_is_sent_as_it_was_imported(project: Path, ours: Shipping):
    write(project, "pkg/__init__.py", "x = 1")
    write(project, "pkg/part.py", "y = 1")
    write(project, "alone.py", "z = 1")
    for name in ("pkg.part", "alone"):
        importlib.import_module(name)
    before = content(ours, "pkg"), content(ours, "alone")
    write(project, "pkg/__init__.py", "x = (2")
    (project / "pkg/part.py").unlink()
    (project / "alone.py").unlink()
    write(project, "pkg/run.log", "a line")
    assert (content(ours, "pkg"), content(ours, "alone")) == before


def test_of_a_package_what_is_loaded_anew_is_sent_anew_and_nothing_else_that_was_imported(
    project: Path, ours: Shipping
):
    write(project, "pkg/__init__.py", "x = 1")
    for name in ("one", "two", "later"):
        write(project, f"pkg/{name}.py", "y = 1")
    write(project, "pkg/data.csv", "1")
    importlib.import_module("pkg.one")
    importlib.import_module("pkg.two")
    assert set(content(ours, "pkg").values()) == {b"x = 1", b"y = 1", b"1"}
    for name in ("two.py", "later.py", "data.csv", "new.py"):
        write(project, f"pkg/{name}", "edited = 1")
    change(project, "pkg.one", "y = 2")
    assert content(ours, "pkg") == {
        "pkg/__init__.py": b"x = 1",
        "pkg/data.csv": b"edited = 1",
        "pkg/later.py": b"edited = 1",
        "pkg/new.py": b"edited = 1",
        "pkg/one.py": b"y = 2",
        "pkg/two.py": b"y = 1",
    }


def test_a_module_that_is_loaded_anew_is_seen_at_once_whoever_asked_last(project: Path, ours: Shipping):
    write(project, "mine.py", "x = 1")
    importlib.import_module("mine")
    for version in range(20):
        before = ours.code()
        assert ours.code() is before
        change(project, "mine", f"x = {version}" + " " * version)
        assert ours.code() != before


def test_what_was_never_imported_here_goes_along_as_its_files_are(project: Path, ours: Shipping):
    write(project, "mine.py", "def f():\n    import lazy")
    write(project, "lazy.py", "x = 1")
    importlib.import_module("mine")
    assert content(ours, "lazy") == {"lazy.py": b"x = 1"}
    write(project, "lazy.py", "x = 23")
    assert content(ours, "lazy") == {"lazy.py": b"x = 23"}


def test_who_comes_back_in_the_midst_of_looking_gets_what_was_known(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch
):
    write(project, "mine.py", "x = 1")
    importlib.import_module("mine")
    before = ours.code()
    seen = []
    monkeypatch.setattr(shipping, "place_of", lambda module: seen.append(ours.code()) or place_of(module))
    ours._places.clear()
    ours.look_again()
    assert ours.code() == before
    assert seen
    assert set(seen) == {before}


def test_a_child_that_was_forked_while_another_thread_looked_can_look(project: Path, ours: Shipping):
    write(project, "mine.py", "x = 1")
    importlib.import_module("mine")
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ours._lock:
            held.set()
            done.wait()

    threading.Thread(target=hold).start()
    held.wait()
    ours.renew()
    assert names(ours) == ["mine"]
    done.set()


def test_what_a_function_imports_when_it_runs_goes_along(project: Path, ours: Shipping):
    write(project, "mine.py")
    write(project, "far.py")

    def outer() -> object:
        def inner() -> None:
            import far  # type: ignore[import-not-found]  # noqa: F401, PLC0415  # that is the point
            import numpy  # noqa: F401, PLC0415  # as above

        return inner

    pickle_function(outer)
    assert names(ours) == ["far"]


def test_a_module_that_is_too_large_is_told_of_and_left_out(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scaler.payload.archives.MOST_BYTES", 3)
    write(project, "mine.py", "x = 1")
    importlib.import_module("mine")
    with pytest.warns(UserWarning, match="the module mine is too large to be sent"):
        assert names(ours) == []
    assert names(ours) == []


def test_the_oldest_archives_go_when_there_are_too_many_bytes(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipping, "_KEPT_BYTES", 100)
    write(project, "mine.py", "x = 1" + " " * 60)
    importlib.import_module("mine")
    ours.look_again()
    first = dict(ours.code())["mine"]
    change(project, "mine", "x = 2" + " " * 70)
    assert names(ours) == ["mine"]
    assert ours.archive(first) is None
    assert ours.archive(dict(ours.code())["mine"]) is not None


def test_an_archive_of_what_has_not_changed_is_kept_however_much_else_changes(
    project: Path, ours: Shipping, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shipping, "_KEPT_BYTES", 1000)
    write(project, "steady.py", "x = 1" + " " * 60)
    importlib.import_module("steady")
    write(project, "mine.py", "x = 0")
    importlib.import_module("mine")
    for number in range(5):
        change(project, "mine", f"x = {number}" + " " * 400 * number)
        assert names(ours) == ["mine", "steady"]
        code = dict(ours.code())
        assert None not in [ours.archive(code[name]) for name in ("mine", "steady")]


# ---- functions


def test_a_function_comes_with_all_of_it_and_is_called_otherwise_when_that_changes(project: Path, ours: Shipping):
    write(project, "mine.py", "def f(x): return x")
    function = importlib.import_module("mine").f
    first = pickle_function(function)
    assert first.code == code_of(first.frames) == ours.code()
    assert pickle_function(function) is first
    write(project, "other.py", "y = 1")
    importlib.import_module("other")
    assert pickle_function(function).id != first.id
    assert load_function(first.frames) is function


@pytest.mark.usefixtures("ours")
def test_installed_functions_take_it_along_for_their_arguments(project: Path):
    assert pickle_function(len).code == NO_CODE
    write(project, "mine.py")
    importlib.import_module("mine")
    assert [name for name, _ in pickle_function(len).code] == [WHOSE, "mine"]


@pytest.mark.usefixtures("ours")
def test_a_client_that_sends_no_code_wants_the_workers_own(project: Path):
    write(project, "mine.py", "def f(x): return x")
    function = importlib.import_module("mine").f
    assert pickle_function(function, ship_code=False).code == OWN_CODE
    assert pickle_function(function).code != OWN_CODE
