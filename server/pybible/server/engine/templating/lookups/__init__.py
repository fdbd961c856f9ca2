"""lookups: what lookup(), query() and with_X may name, one family a file. They run on the control node."""
