"""modules: part of pybible.agent."""
