"""e2e: tests of pybible."""
