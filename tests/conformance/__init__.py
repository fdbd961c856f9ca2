"""conformance: tests of pybible."""
