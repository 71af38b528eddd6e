from scaler.link.versions import compatible, version_table
from scaler.protocol import Versions

OURS = Versions(1, "3.11", 5, "3.11.7", "0.1.0")


def test_patch_releases_and_builds_may_differ():
    assert compatible(OURS, OURS)
    assert compatible(OURS, Versions(1, "3.11", 5, "3.11.2", "0.2.0"))


def test_protocol_python_and_pickle_may_not():
    assert not compatible(OURS, Versions(2, "3.11", 5))
    assert not compatible(OURS, Versions(1, "3.12", 5))
    assert not compatible(OURS, Versions(1, "3.11", 4))


def test_the_table_shows_both_sides_and_marks_what_differs():
    assert version_table(OURS, Versions(1, "3.12", 5, "3.12.1", "0.10.0")).splitlines() == [
        "          here   scheduler",
        "protocol  1      1",
        "Python    3.11   3.12   <- differs",
        "pickle    5      5",
        "build     0.1.0  0.10.0",
    ]
