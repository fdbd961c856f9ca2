"""facts: what the agent finds out about its host."""
