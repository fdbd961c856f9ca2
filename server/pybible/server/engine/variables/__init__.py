"""variables: part of pybible.server."""
