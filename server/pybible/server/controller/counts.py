"""counts: what a controller counts while it works. Whoever shows it reads it; nothing here knows how it is shown."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

# Upper bounds in seconds: from what never leaves this process to a task that takes long.
SHORT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
SIZES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


class Histogram:
    """How often a value was seen, by size. `counts` has one more place than `bounds`: what is above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class RunCounts:
    """What the runs of a controller came to. Only the loop's thread writes it."""

    def __init__(self) -> None:
        # By outcome (ok, failed, unreachable) and reason.
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.late = 0
        self.runs: Counter[str] = Counter()
        # Seconds from an attempt's submission to its slot, from there to the agent's first word, and to the verdict.
        self.waits = Histogram(SHORT_SECONDS)
        self.dispatches = Histogram(SHORT_SECONDS)
        self.times = Histogram(LONG_SECONDS)
