"""actions: part of pybible.server."""
