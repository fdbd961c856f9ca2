"""protocol: the versions of the protocol that this pybible speaks, and its own version."""

from __future__ import annotations

# The package's version has its one place here: to ask the installed package would cost every agent 2.5 MB.
VERSION = "0.1.0"

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1


def package_version() -> str:
    """Return the version of this package."""
    return VERSION
