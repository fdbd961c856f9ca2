"""paths: names of files as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(name: str | Path) -> Path:
    """Return the path with its `~` or `~USER` made the home. Of a user that there is not it stays as it is written."""
    try:
        # Path.expanduser raises for such a user.
        return Path(os.path.expanduser(name))  # noqa: PTH111
    except ValueError:
        # No user has a zero byte in his name.
        return Path(name)
