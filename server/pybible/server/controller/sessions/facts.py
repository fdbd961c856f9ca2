"""facts: what an agent said of its host by itself, and whether it still holds. It is data, and is never looked into."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.server.controller.sessions.settings import FACTS_BYTES, TEXT_LENGTH
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire.errors import ProtocolError

_DIGEST_BYTES = 32
# Nothing older is of use, and an age is the agent's word.
_LONGEST_AGE = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedFacts:
    """Facts as FactsChanged brings them. `gathered`: when, on the session's clock."""

    digest: bytes
    facts: bytes
    moving: bytes
    user: str
    gathered: float

    def message(self, age: float) -> run_pb2.PushedFacts:
        """Return them as they go to ctl; `age` in seconds."""
        message = run_pb2.PushedFacts(facts=self.facts, moving=self.moving)
        message.age.FromNanoseconds(int(age * 1e9))
        return message


class HostFacts:
    """The facts of one host. They hold until a task may have changed it, or its session ends."""

    __slots__ = ("_holds", "last")

    def __init__(self) -> None:
        self.last: PushedFacts | None = None
        self._holds = False

    def take(self, message: agent_pb2.FactsChanged, *, now: float, holds: bool) -> PushedFacts:
        """Keep what an agent says; `holds`: nothing is out there that may change it. ProtocolError out of bounds."""
        size = len(message.facts) + len(message.moving)
        if size > FACTS_BYTES or len(message.digest) != _DIGEST_BYTES or len(message.user) > TEXT_LENGTH:
            raise ProtocolError(f"facts of {size} bytes are too large, or are none")
        facts = message.facts
        if not facts:
            if self.last is None or self.last.digest != message.digest:
                raise ProtocolError("the agent says that its facts are as before, and they are not")
            facts = self.last.facts
        age = min(max(0.0, message.age.seconds + message.age.nanos / 1e9), _LONGEST_AGE)
        self.last = PushedFacts(
            digest=message.digest, facts=facts, moving=message.moving, user=message.user, gathered=now - age
        )
        self._holds = holds
        return self.last

    def doubt(self) -> None:
        """Something happens that may change the host."""
        self._holds = False

    def fresh(self, *, within: float, user: str, now: float) -> PushedFacts | None:
        """Return them if they hold, are no older than `within` seconds, and were gathered as that user (or any)."""
        last = self.last
        if last is None or not self._holds or now - last.gathered > within or user not in ("", last.user):
            return None
        return last
