"""What only root can try, or needs a tool that may be missing. Elsewhere these tests are left out, and say so."""

import os
import shutil
from pathlib import Path

import pytest

_CAP_NET_ADMIN, _CAP_SYS_ADMIN, _CAP_SETUID = 12, 21, 7


def _may(*capabilities: int) -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    return all(effective >> capability & 1 for capability in capabilities)


needs_hosts = pytest.mark.skipif(
    os.geteuid() != 0 or not _may(_CAP_NET_ADMIN, _CAP_SYS_ADMIN) or shutil.which("ip") is None,
    reason="network namespaces need root and iproute2",
)
STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace sees what a process has on disk")
needs_second_user = pytest.mark.skipif(
    os.geteuid() != 0 or not _may(_CAP_SETUID), reason="only root can run a process as another user"
)
#: a user without anything, as on every Linux
NOBODY = 65534
