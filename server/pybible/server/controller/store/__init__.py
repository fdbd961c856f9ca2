"""store: what the controller remembers, in SQL: agents, certificates, tokens, runs."""
