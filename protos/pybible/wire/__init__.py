"""wire: the Python on which both ends of the wire must agree."""
