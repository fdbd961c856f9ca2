"""backoff: how long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Full jitter: each wait is uniform between 0 and a bound that doubles from `first` to `limit` (seconds)."""

    first: float = 1.0
    limit: float = 60.0
    random: random.Random = field(default_factory=random.SystemRandom)
    _bound: float = 0.0

    def next(self) -> float:
        """Return the next wait in seconds."""
        self._bound = min(self.limit, self._bound * 2 or self.first)
        return self.random.uniform(0, self._bound)

    def reset(self) -> None:
        """Begin again with `first`."""
        self._bound = 0.0
