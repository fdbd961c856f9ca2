"""blobs: contents by their sha256, as files in the state folder."""
