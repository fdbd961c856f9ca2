"""controller: part of pybible.server."""
