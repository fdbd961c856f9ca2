"""blobs: part of pybible.server."""
