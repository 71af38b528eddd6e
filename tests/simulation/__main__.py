"""Endless histories until stopped, or one with its log; see `--help`."""

import sys

from tests.simulation.cli import main

sys.exit(main())
