"""tests: what `is` may name in a template, one family a file."""
