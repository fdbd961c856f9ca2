"""runs: part of pybible.server."""
