"""filters: what `|` may name in a template, one family a file."""
