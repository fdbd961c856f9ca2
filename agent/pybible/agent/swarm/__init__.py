"""swarm: a fleet in a box: many agents in few processes, to see what a controller bears.

Each has an identity that it enrolled for, a journal, a channel and a session of its own, and speaks through the agent's
own code. Only what would run its tasks is replaced: by a pool that answers at once and does nothing.
"""
