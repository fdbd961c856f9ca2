"""tests: tests of pybible."""

import pybible.wire  # noqa: F401  before any test imports gRPC
