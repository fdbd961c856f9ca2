"""tests: tests of pybible."""
