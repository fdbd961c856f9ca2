"""server: the controller, the playbook engine and pybible-ctl."""
