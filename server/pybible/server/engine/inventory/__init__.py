"""inventory: part of pybible.server."""
