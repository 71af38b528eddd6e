"""`python -m benchmarks.peers`: install the peers, each into an environment of its own, with this very Python."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import FOLDER

SCRIPT = Path(__file__).with_name("setup_peers.sh")

if __name__ == "__main__":
    environment = os.environ | {"PYTHON": sys.executable, "PEERS_DIR": str(FOLDER)}
    sys.exit(subprocess.run(["bash", str(SCRIPT)], env=environment, check=False).returncode)  # noqa: S607  # any bash
