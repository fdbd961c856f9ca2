"""importing: what gRPC is told when it is imported: TLS 1.3 and nothing older, no fork handlers, silence.

gRPC's Python has no option for any of it: it reads the environment once, at its import. The variables are there while
it is imported and no longer: tasks, lookups and whatever else a process of pybible starts must not inherit them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

# These are taken from whoever started the process, if he has set them.
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        # grpcio and fork do not mix. pybible starts processes by exec only, so the handlers are switched off for good.
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        # What it would print is in the exceptions, too.
        "GRPC_VERBOSITY": "NONE",
    }
)
# The list for TLS 1.2; the suites of TLS 1.3 are not chosen by it. The one suite in it needs a pre-shared key, which
# gRPC never has: so no handshake of TLS 1.2 can succeed, whatever certificates the two ends have.
_FIXED: Mapping[str, str] = MappingProxyType({"GRPC_SSL_CIPHER_SUITES": "ECDHE-PSK-CHACHA20-POLY1305"})


class _BeforeGrpc:
    """A finder of modules that finds gRPC alone, and once: wherever its import stands, it is told by then."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return gRPC's own spec, with a loader that sets the variables; None for any other module."""
        if name != "grpc":
            return None
        # Only now: workers, which never import gRPC, come by here as well.
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def told(module: ModuleType) -> None:
            import logging

            with _variables():
                load(module)
            # Of what can't be read it would log a traceback; the call tells of it, too.
            logging.getLogger("grpc._common").setLevel(logging.CRITICAL + 1)

        spec.loader.exec_module = told  # type: ignore[method-assign]  # the rest of the loader serves on
        return spec


@contextmanager
def _variables() -> Iterator[None]:
    """Set the variables, and put back what was there before."""
    before = {name: os.environ.get(name) for name in (*_DEFAULTS, *_FIXED)}
    os.environ.update({**{name: value for name, value in _DEFAULTS.items() if before[name] is None}, **_FIXED})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def prepare_grpc() -> None:
    """Have gRPC told when it is imported. ImportError when it was before: then TLS 1.2 can't be ruled out any more."""
    if "grpc" in sys.modules:
        raise ImportError("grpc was imported before pybible.wire, which has to tell it to refuse TLS 1.2")
    sys.meta_path.insert(0, _BeforeGrpc())


def check_told() -> None:
    """Raise ImportError unless gRPC, which is imported by now, was told: another finder may have found it first."""
    if any(isinstance(finder, _BeforeGrpc) for finder in sys.meta_path):
        raise ImportError("grpc was imported past pybible.wire.importing, which has to tell it to refuse TLS 1.2")
