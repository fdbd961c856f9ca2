"""client: part of pybible.server."""
