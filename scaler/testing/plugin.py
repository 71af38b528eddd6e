"""Fixtures of pytest for programs that use scaler. Every pytest loads this where scaler is installed, and no more."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scaler.client.client import Client
    from scaler.cluster.combo import SchedulerClusterCombo
    from scaler.testing.in_process import InProcessCluster

_WORKERS = "--scaler-workers"
_IN_PROCESS = "--scaler-in-process"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which options there are."""
    group = parser.getgroup("scaler", "tasks of scaler")
    group.addoption(
        _WORKERS, type=int, default=2, metavar="N", help="how many workers `scaler_cluster` has (default: 2)"
    )
    group.addoption(
        _IN_PROCESS, action="store_true", help="run tasks within the tests' own process: for breakpoints and mocks"
    )


@pytest.fixture(scope="session")
def scaler_cluster(request: pytest.FixtureRequest) -> "Iterator[SchedulerClusterCombo | InProcessCluster]":
    """A scheduler and `--scaler-workers` workers of this session's own, or an `InProcessCluster`."""
    if request.config.option.scaler_in_process:
        from scaler.testing.in_process import InProcessCluster  # noqa: PLC0415  # whoever has no use for it does not pay for it

        with InProcessCluster() as near:
            yield near
        return
    from scaler.cluster.combo import SchedulerClusterCombo  # noqa: PLC0415  # as above
    from scaler.payload.shipping import shipping  # noqa: PLC0415  # as above

    # workers are to have the modules of the tests, wherever these were started
    shipping.folders = (*shipping.folders, str(request.config.rootpath))
    with SchedulerClusterCombo(request.config.option.scaler_workers, private=True) as cluster:
        yield cluster


@pytest.fixture
def scaler_client(scaler_cluster: "SchedulerClusterCombo | InProcessCluster") -> "Iterator[Client]":
    """A client of `scaler_cluster`; what a test leaves unfinished ends with it."""
    from scaler.client.client import Client  # noqa: PLC0415  # as above
    from scaler.errors import ScalerError  # noqa: PLC0415  # as above

    with Client(scaler_cluster) as client:
        yield client
        with contextlib.suppress(ScalerError):  # the test has disconnected it
            client.clear()
