"""executor: part of pybible.server."""
