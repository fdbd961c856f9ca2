"""sessions: part of pybible.server."""
