"""chaos: tests of pybible."""
