"""templating: part of pybible.server."""
