"""script: what agents of a swarm do with the tasks that they get. The same seed, the same deeds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Deed(StrEnum):
    """What an agent does with one task, instead of answering it at once."""

    OK = "ok"
    # It answers that the task failed.
    FAIL = "fail"
    # It answers after a while.
    LAG = "lag"
    # Its connection is cut, and it comes back after a while.
    DISCONNECT = "disconnect"
    # Its process is killed, and started again after a while.
    RESTART = "restart"
    # Another host uses its identity for a while.
    CLONE = "clone"
    # It is away for so long that it has been given up, and answers then.
    LATE = "late"
    # It answers twice.
    TWICE = "twice"
    # It takes the task, and is never heard of it again.
    NEVER = "never"


_SECONDS = {Deed.LAG: 0.5, Deed.LATE: 20.0, Deed.CLONE: 3.0}


@dataclass(frozen=True, slots=True)
class Act:
    """A deed, and for how long (seconds). `early`: before the task's result is in the journal, else after it."""

    deed: Deed = Deed.OK
    seconds: float = 0.0
    early: bool = False


_OK = Act()


class Script:
    """Draws the deed for each task. Made from text: `fail=0.05,lag=0.1:2.5`: shares, and seconds after a colon."""

    def __init__(self, text: str = "", *, seed: int = 0) -> None:
        """Read it. ValueError for what is no script."""
        self._seed = seed
        self._shares: list[tuple[Deed, float, float]] = []
        for entry in filter(None, text.split(",")):
            name, _, rest = entry.partition("=")
            share, _, seconds = rest.partition(":")
            deed = Deed(name.strip())
            self._shares.append((deed, float(share), float(seconds) if seconds else _SECONDS.get(deed, 0.0)))
        if sum(share for _, share, _ in self._shares) > 1:
            raise ValueError(f"the shares of {text!r} are more than 1 together")

    def act(self, agent: str, number: int) -> Act:
        """Return what this agent does with its task of that number."""
        if not self._shares:
            return _OK
        draw = random.Random(f"{self._seed}/{agent}/{number}")
        at, early = draw.random(), draw.random() < 0.5
        for deed, share, seconds in self._shares:
            at -= share
            if at < 0:
                return Act(deed, seconds * draw.uniform(0.5, 1.5), early)
        return _OK
