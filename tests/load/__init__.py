"""load: tests of pybible."""
