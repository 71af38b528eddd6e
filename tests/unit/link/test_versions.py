from scaler.link.versions import compatible, version_differences, version_table
from scaler.protocol import Versions

OURS = Versions(1, "3.11", 5, "3.11.7", "0.1.0")


def test_patch_releases_and_builds_may_differ():
    assert compatible(OURS, OURS)
    assert compatible(OURS, Versions(1, "3.11", 5, "3.11.2", "0.2.0"))


def test_protocol_python_and_pickle_may_not():
    assert not compatible(OURS, Versions(2, "3.11", 5))
    assert not compatible(OURS, Versions(1, "3.12", 5))
    assert not compatible(OURS, Versions(1, "3.11", 4))


def test_what_differs_fits_a_line():
    assert version_differences(Versions(2, "3.12", 5, "3.12.1", "9"), OURS) == "protocol=2≠1 python=3.12≠3.11"
    assert version_differences(Versions(1, "3.11", 4), OURS) == "pickle=4≠5"


def test_the_table_shows_both_sides_and_marks_what_differs():
    assert version_table(OURS, Versions(1, "3.12", 5, "3.12.1", "0.10.0")).splitlines() == [
        "          here   scheduler",
        "protocol  1      1",
        "Python    3.11   3.12   <- differs",
        "pickle    5      5",
        "build     0.1.0  0.10.0",
    ]
