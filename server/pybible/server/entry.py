"""entry: the commands of the extra `server`, as they are installed: an agent's install has their names, and no more."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec
from typing import Final

# What the extra brings, as it is imported.
_EXTRA: Final = ("alembic", "click", "grpc_health", "grpc_reflection", "jinja2", "yaml", "rich", "sqlalchemy")
# How many objects ctl makes before the collector looks at them. What it imports stays, and there is much of it: to look
# at that again and again makes its start 5 % longer.
_COLLECT_AFTER: Final = 50_000


def ctl() -> None:
    """Run pybible-ctl; the process ends with its exit status."""
    gc.set_threshold(_COLLECT_AFTER)
    _need_extra("pybible-ctl")
    from pybible.server.cli.main import main
    from pybible.server.report.visible import guard_standard_streams

    guard_standard_streams()
    main()


def controller() -> None:
    """Run pybible-controller; the process ends with its exit status."""
    _need_extra("pybible-controller")
    from pybible.server.controller.cli import main

    main()


def _need_extra(command: str) -> None:
    if any(find_spec(name) is None for name in _EXTRA):
        # Nothing of ours that says things better may be there either.
        sys.stderr.write(f"{command}: this is an agent's install; for this command: pip install 'pybible[server]'\n")
        sys.exit(1)
