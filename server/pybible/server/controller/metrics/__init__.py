"""metrics: part of pybible.server."""
