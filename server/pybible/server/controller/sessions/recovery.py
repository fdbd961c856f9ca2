"""recovery: runs of an earlier controller whose ctl may come back, and what agents said of them meanwhile."""

from __future__ import annotations

from collections.abc import Callable

_RUN_ID_LENGTH = 36


def run_of(attempt_id: str) -> str:
    """Return the run of an attempt, as agents name it."""
    return attempt_id[:_RUN_ID_LENGTH]


class Recovery:
    """Which runs they are, until each is over. `until`: when agents that come are no longer waited for (monotonic)."""

    def __init__(self) -> None:
        self.until = 0.0
        self._runs: set[str] = set()
        # Results that came before ctl did: what stores each of them as one that nobody waits for, by attempt.
        self._results: dict[str, Callable[[], None]] = {}

    def begin(self, run_id: str) -> None:
        """Wait for the ctl of a run."""
        self._runs.add(run_id)

    def awaits(self, attempt_id: str) -> bool:
        """Tell whether an attempt belongs to such a run."""
        return bool(self._runs) and run_of(attempt_id) in self._runs

    def keep(self, attempt_id: str, settle: Callable[[], None]) -> bool:
        """Put off what is to be done with a result. False when there is nothing to wait for.

        If the run's ctl comes back, the attempt is sent out again, and the agent has its result still.
        """
        if not self.awaits(attempt_id):
            return False
        self._results[attempt_id] = settle
        return True

    def known(self, attempt_id: str) -> None:
        """ctl has the result of an attempt already."""
        settle = self._results.pop(attempt_id, None)
        if settle is not None:
            settle()

    def over(self, run_id: str) -> None:
        """The run is over, or given up: what was put off is done."""
        if run_id not in self._runs:
            return
        self._runs.discard(run_id)
        for attempt_id in [name for name in self._results if run_of(name) == run_id]:
            self._results.pop(attempt_id)()
