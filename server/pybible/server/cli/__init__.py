"""cli: pybible-ctl, one command a file, each imported when it is called."""
