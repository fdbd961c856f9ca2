"""unit: tests of pybible."""
