"""gate: admits a bounded number of handshakes a second: after a restart the whole fleet comes at once. Pure: no clock.

Whoever comes has paid for TLS already, and so has the controller: it waits for its turn on its stream, and is sent away
only when that would take too long. It is told when to come again then, each at another moment, so that those who come
are as many as leave the queue: a fleet of N is in after N / rate seconds, and hardly anybody has to come twice.
"""

from __future__ import annotations

from dataclasses import dataclass

# Nobody is sent away for longer: who is promised more than that asks once more.
_LONGEST = 60.0
# Before they come they wait a little longer still, by chance: places are promised a little early.
_SOONEST = 0.5


@dataclass(frozen=True, slots=True)
class Turn:
    """When it is somebody's turn, in seconds from now. `admitted`: to wait here for so long; else: to come again."""

    wait: float
    admitted: bool


class Gate:
    """`rate` a second, and `burst` at once; who would wait longer than `patience` is sent away.

    All times in seconds; `now` never goes back.
    """

    __slots__ = ("_free_at", "_patience", "_promised", "_rate", "_slack")

    def __init__(self, *, rate: float, burst: float, patience: float, now: float) -> None:
        self._rate = rate
        self._slack = (burst - 1) / rate
        self._patience = patience
        # When the next place is free if all come evenly; the burst may be early by the slack.
        self._free_at = now - self._slack
        self._promised = now

    def admit(self, now: float) -> Turn:
        """Take the next place, or promise one."""
        free_at = max(self._free_at, now - self._slack)
        wait = max(0.0, free_at - now)
        if wait <= self._patience:
            self._free_at = free_at + 1 / self._rate
            return Turn(wait, True)
        self._promised = max(self._promised, now) + 1 / self._rate
        return Turn(min(_LONGEST, max(_SOONEST, self._promised - now)), False)
