"""services: part of pybible.server."""
