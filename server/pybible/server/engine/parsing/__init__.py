"""parsing: part of pybible.server."""
