"""agent: the daemon on a managed host, its workers and their modules."""
