"""cli: part of pybible.server."""
