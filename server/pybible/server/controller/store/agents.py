"""agents: the rows of enrolled agents. Every function takes the connection that Database.read or write gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from pybible.server.controller.store.schema import agent_facts, agents


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """An enrolled agent as it is stored. Moments in seconds since the epoch."""

    agent_id: str
    name: str
    enrolled: float
    hostname: str = ""
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0
    # The process that was attached last, and since when it has been another one than before.
    incarnation: str | None = None
    incarnation_since: float | None = None
    protocol_floor: int = 0
    last_seen: float | None = None


def _record(row: RowMapping) -> AgentRecord:
    return AgentRecord(**row)


def add(connection: Connection, agent: AgentRecord) -> None:
    """Store a new agent. IntegrityError when its name is taken."""
    connection.execute(
        insert(agents).values(
            agent_id=agent.agent_id,
            name=agent.name,
            hostname=agent.hostname,
            version=agent.version,
            labels=dict(agent.labels),
            enrolled=agent.enrolled,
            epoch=agent.epoch,
            incarnation=agent.incarnation,
            incarnation_since=agent.incarnation_since,
            protocol_floor=agent.protocol_floor,
            last_seen=agent.last_seen,
        )
    )


def every(connection: Connection) -> list[AgentRecord]:
    """Return all agents, by name."""
    return [_record(row) for row in connection.execute(select(agents).order_by(agents.c.name)).mappings()]


def find(connection: Connection, name_or_id: str) -> AgentRecord | None:
    """Return the agent of that name or id. An id wins over a name that looks like it."""
    query = select(agents).where(or_(agents.c.agent_id == name_or_id, agents.c.name == name_or_id))
    found = [_record(row) for row in connection.execute(query).mappings()]
    return next((agent for agent in found if agent.agent_id == name_or_id), found[0] if found else None)


def remove(connection: Connection, agent_id: str) -> bool:
    """Forget an agent and free its name. Say whether it was there."""
    connection.execute(delete(agent_facts).where(agent_facts.c.agent_id == agent_id))
    return connection.execute(delete(agents).where(agents.c.agent_id == agent_id)).rowcount == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a session's Hello says that is worth keeping."""

    hostname: str
    version: str
    protocol: int
    moment: float


def open_session(connection: Connection, agent_id: str, opening: Opening) -> AgentRecord | None:
    """Count a session and return the record with its epoch, None for an agent that is not known any more."""
    floor = connection.execute(select(agents.c.protocol_floor).where(agents.c.agent_id == agent_id)).scalar()
    if floor is None:
        return None
    changed = (
        update(agents)
        .where(agents.c.agent_id == agent_id)
        .values(
            epoch=agents.c.epoch + 1,
            hostname=opening.hostname,
            version=opening.version,
            protocol_floor=max(floor, opening.protocol),
            last_seen=opening.moment,
        )
    )
    connection.execute(changed)
    return _record(connection.execute(select(agents).where(agents.c.agent_id == agent_id)).mappings().one())


def save_incarnations(connection: Connection, known: Mapping[str, tuple[str, float]]) -> None:
    """Store which process of each agent is attached, by the agent's id, with the moment if it is another one."""
    for agent_id, (incarnation, moment) in known.items():
        other = agents.c.incarnation.is_distinct_from(incarnation)
        changed = update(agents).where(agents.c.agent_id == agent_id, other)
        connection.execute(changed.values(incarnation=incarnation, incarnation_since=moment))


def seen(connection: Connection, agent_id: str, moment: float) -> None:
    """Note when an agent was last attached."""
    connection.execute(update(agents).where(agents.c.agent_id == agent_id).values(last_seen=moment))
