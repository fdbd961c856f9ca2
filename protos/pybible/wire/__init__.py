"""wire: the Python on which both ends of the wire must agree."""

from __future__ import annotations

from pybible.wire.importing import prepare_grpc

# `pybible.server` and `pybible.agent` import this package before anything in them imports gRPC.
prepare_grpc()
