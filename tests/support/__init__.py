"""support: tests of pybible."""
