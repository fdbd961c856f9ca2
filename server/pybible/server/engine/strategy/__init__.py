"""strategy: part of pybible.server."""
