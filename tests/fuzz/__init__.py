"""fuzz: what nobody would send, to everything that reads what others wrote. `python -m tests.fuzz` runs it for long."""
