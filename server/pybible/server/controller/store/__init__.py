"""store: part of pybible.server."""
