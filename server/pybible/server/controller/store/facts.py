"""facts: the rows of what agents said of their hosts. Every function takes the connection of Database.read or write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from pybible.server.controller.store.schema import agent_facts, agents


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFacts:
    """The last facts of an agent. `facts` is deflated JSON, `moving` JSON; `gathered` in seconds since the epoch."""

    agent_id: str
    digest: str
    facts: bytes
    moving: bytes
    gathered: float


def save(connection: Connection, rows: Iterable[StoredFacts]) -> None:
    """Store facts in the place of what was known."""
    for row in rows:
        connection.execute(delete(agent_facts).where(agent_facts.c.agent_id == row.agent_id))
        if connection.execute(select(agents.c.agent_id).where(agents.c.agent_id == row.agent_id)).first() is not None:
            connection.execute(insert(agent_facts).values(asdict(row)))


def find(connection: Connection, agent_id: str) -> StoredFacts | None:
    """Return the last facts of an agent, None when it never pushed any."""
    row = connection.execute(select(agent_facts).where(agent_facts.c.agent_id == agent_id)).mappings().first()
    return StoredFacts(**row) if row is not None else None
