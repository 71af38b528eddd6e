"""The project itself over `ipc://`."""

import os

from . import scaler


class Peer(scaler.Peer):
    """As over TCP, with a socket in the user's private folder instead."""

    ADDRESS = f"ipc://benchmark-{os.getpid()}"
