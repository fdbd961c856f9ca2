"""report: part of pybible.server."""
