"""pki: part of pybible.server."""
