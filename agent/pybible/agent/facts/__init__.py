"""facts: part of pybible.agent."""
