"""soak: a controller, swarm agents and real ones under a steady load and faults, and whether anything of them grows.

`python -m tests.load.soak --help`.
"""
