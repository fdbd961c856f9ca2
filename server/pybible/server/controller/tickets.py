"""tickets: what a controller gave out to operators on its own machine, and who shows it again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from pybible.server.controller.local_users import LocalUser

# In seconds. Roles are looked up again with each new ticket.
LIFETIME = 3600.0
_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Given:
    user: LocalUser
    # On the clock of Tickets; None: as long as it is not forgotten.
    until: float | None


class Tickets:
    """The tickets in force. Whoever gives one out forgets it: the door, when its connection is closed."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._given: dict[str, _Given] = {}

    def __len__(self) -> int:
        return len(self._given)

    def issue(self, user: LocalUser, *, lifetime: float | None = LIFETIME) -> str:
        """Return a new ticket for a user, good for so many seconds; None: for as long as it is not forgotten."""
        self._forget_old()
        ticket = secrets.token_urlsafe(_BYTES)
        self._given[ticket] = _Given(user, None if lifetime is None else self._now() + lifetime)
        return ticket

    def holder(self, ticket: str) -> LocalUser | None:
        """Return whose ticket it is, None for one that is not in force."""
        given = self._given.get(ticket)
        if given is None:
            return None
        if given.until is not None and given.until <= self._now():
            self.forget(ticket)
            return None
        return given.user

    def _forget_old(self) -> None:
        """Let go of those that nobody showed again: whoever has one seldom comes back after its end."""
        now = self._now()
        timed = ((ticket, given.until) for ticket, given in self._given.items() if given.until is not None)
        # The oldest come first: behind one that is good, all are.
        for ticket in [ticket for ticket, _ in takewhile(lambda each: each[1] <= now, timed)]:
            self.forget(ticket)

    def forget(self, ticket: str) -> None:
        """Let it be good for nothing from now on."""
        self._given.pop(ticket, None)
