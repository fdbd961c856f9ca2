"""gate: admits a bounded number of handshakes a second: after a restart the whole fleet comes at once. Pure: no clock.

Whoever is refused is told when to come again, each at another moment, so that those who come then are as many as can be
admitted: a fleet of N is in after N / rate seconds, and most agents have to come twice, not again and again.
"""

from __future__ import annotations

# Nobody is sent away for longer: who is promised more than that asks once more.
_LONGEST = 60.0
# Before they come they wait a little longer still, by chance: places are promised a little early.
_SOONEST = 0.5


class Gate:
    """`rate` a second, and `burst` at once. `now` in seconds, never going back."""

    __slots__ = ("_at", "_burst", "_left", "_promised", "_rate")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now
        self._promised = now

    def admit(self, now: float) -> float:
        """Take a place and return 0, or return after how many seconds there is one."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        self._promised = max(self._promised, now) + 1 / self._rate
        return min(_LONGEST, max(_SOONEST, self._promised - now))
