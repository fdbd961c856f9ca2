"""storm: many agents gone at once that are coming back: their grace must not end while they queue. Pure: no clock.

A network that breaks for a moment cuts off hundreds, and their handshakes take the controller longer than any grace.
While a storm lasts the clocks of what waits for an agent stand still. It begins when `size` agents are away. It lasts
while they keep coming back: at least one in a hundred of those who are away within `pause` seconds, and no longer than
`longest` seconds. `pause` is no shorter than the grace: of hundreds of handshakes that were begun at once the first is
done when nearly all are. When nobody comes back they are lost after that, as they would be without a storm.
"""

from __future__ import annotations

from pybible.server.controller.sessions.instructions import SessionState

_SHARE = 100


class Storm:
    """Counts who is away (SUSPECT) and who comes back. All times in seconds; `now` never goes back."""

    __slots__ = ("_back", "_begun", "_last", "_longest", "_pause", "_size", "away")

    def __init__(self, *, size: int = 50, pause: float = 15.0, longest: float = 120.0) -> None:
        self.away = 0
        self._size = size
        self._pause = pause
        self._longest = longest
        self._begun: float | None = None
        # How many came back since the last time that they were enough, and when that was.
        self._back = 0
        self._last = 0.0

    def moved(self, before: SessionState, after: SessionState, *, now: float) -> bool:
        """An agent's state is another one. Return whether a storm begins with it."""
        if after is SessionState.SUSPECT:
            self.away += 1
            if self._begun is None and self.away >= self._size:
                self._begun = self._last = now
                self._back = 0
                return True
        elif before is SessionState.SUSPECT:
            self.away -= 1
            if after is not SessionState.LOST:
                self._returned(now)
            if not self.away:
                self._begun = None
        return False

    def until(self, now: float) -> float:
        """Return until when no clock runs out at least, 0 when there is no storm."""
        if self._begun is None:
            return 0.0
        until = min(self._last + self._pause, self._begun + self._longest)
        if until > now:
            return until
        self._begun = None
        return 0.0

    def _returned(self, now: float) -> None:
        self._back += 1
        if self._back * _SHARE >= self.away and self.until(now):
            self._back = 0
            self._last = now
