"""chaos: many attempts under seeded faults, and what must hold afterwards. `python -m tests.load.chaos --help`.

Nothing is done twice, everything that was asked for has one end, no result that an agent has written down is lost, no
run is left running, and never more than forks are out.
"""
