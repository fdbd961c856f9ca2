"""report: events of a run as something to read: Ansible's screen, its one-line screen, JSON, live progress."""
