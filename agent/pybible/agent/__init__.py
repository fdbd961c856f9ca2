"""agent: the daemon on a managed host, its workers and their modules."""

import pybible.wire  # noqa: F401  sets what gRPC reads at its import, before any module here imports it
