"""modules: the agent's native modules, each on its own."""
