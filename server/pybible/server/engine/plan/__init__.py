"""plan: part of pybible.server."""
