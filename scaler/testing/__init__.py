"""For the tests of programs that use scaler: a cluster within the test's own process, and fixtures for pytest.

As in the package above, public names are loaded when they are first used; the fixtures are in `scaler.testing.plugin`.
"""

#: as type checkers know it, without the module of that name
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from scaler.testing.in_process import InProcessCluster as InProcessCluster
    from scaler.testing.in_process import in_process_client as in_process_client

__all__ = ["InProcessCluster", "in_process_client"]


def __getattr__(name: str) -> "Any":  # Any: whichever public name is asked for
    if name not in __all__:
        raise AttributeError(f"module 'scaler.testing' has no attribute {name!r}")
    from scaler.testing import in_process  # noqa: PLC0415  # see above

    value = globals()[name] = getattr(in_process, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
