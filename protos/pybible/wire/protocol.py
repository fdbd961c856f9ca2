"""protocol: the versions of the protocol that this pybible speaks, and its own version."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1


@lru_cache(maxsize=1)
def package_version() -> str:
    """Return the version of the installed package, "unknown" when it is not installed."""
    try:
        return version("pybible")
    except PackageNotFoundError:
        return "unknown"
