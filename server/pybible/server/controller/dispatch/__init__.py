"""dispatch: part of pybible.server."""
