"""pki: the controller's certificate authority, what it issued, and how a host gets its first certificate."""
