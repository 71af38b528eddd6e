"""What this process speaks, for its `Hello`."""

import platform
import sys

from scaler.protocol.connection import PROTOCOL_VERSION, Versions

#: the version of this build, shown where versions do not fit
BUILD = "0.1.0"


def our_versions() -> Versions:
    """The versions of this process."""
    return Versions(
        protocol=PROTOCOL_VERSION,
        python_minor=f"{sys.version_info.major}.{sys.version_info.minor}",
        pickle=5,
        python=platform.python_version(),
        build=BUILD,
    )
