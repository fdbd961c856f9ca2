"""integration: tests of pybible."""
