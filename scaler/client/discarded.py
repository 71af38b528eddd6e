"""Keywords of Scaler's `Client` that mean nothing here, and why: they are accepted with a warning."""

import warnings
from collections.abc import Mapping

REMEDIES = {
    "object_storage_address": "objects need no server of their own",
    "security_config": "connections are always encrypted; make keys with 'scaler keygen' and name them by key_file",
}


def warn_of(others: Mapping[str, object]) -> None:
    """Warn whoever called `Client(…)` of those that are given; `TypeError` for what nobody knows."""
    for name, value in others.items():
        if name not in REMEDIES:
            raise TypeError(f"Client() got an unexpected keyword argument {name!r}")
        if value is not None:
            warnings.warn(f"{name} means nothing here: {REMEDIES[name]}", DeprecationWarning, stacklevel=3)
