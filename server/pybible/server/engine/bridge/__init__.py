"""bridge: part of pybible.server."""
