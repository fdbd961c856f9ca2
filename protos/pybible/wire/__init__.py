"""wire: the Python on which both ends of the wire must agree."""

from __future__ import annotations

import os

# gRPC reads these when it is first imported: `pybible.server` and `pybible.agent` import this package before they can.
# grpcio and fork do not mix. pybible starts processes by exec only, so the handlers are switched off for good.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What it would print is in the exceptions, too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
