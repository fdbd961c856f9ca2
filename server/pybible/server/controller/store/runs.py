"""runs: the rows of runs, attempts, events and recaps. Every function takes a connection of Database.read or write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pybible.server.controller.store.run_tables import attempts, events, host_recaps, runs
from pybible.server.results.recap import COUNTS, HostRecap


class RunState(StrEnum):
    """How a run is, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as it is stored. Moments in seconds since the epoch."""

    run_id: str
    name: str
    operator: str
    forks: int
    check_mode: bool
    state: RunState
    started: float
    ended: float | None = None
    exit_status: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """An attempt as it is stored. `verdict`: its end is the controller's own word, so that a result would be late."""

    attempt_id: str
    run_id: str
    position: int
    task_id: str
    host: str
    agent: str
    module: str
    state: str
    reason: str = ""
    failed: bool = False
    verdict: bool = False
    late: bool = False
    dispatched: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt without an end: its place in the run, and when it got its slot."""

    attempt_id: str
    position: int
    dispatched: float | None


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """How an attempt ended. `given`: by the controller's verdict. `ended` in seconds since the epoch."""

    attempt_id: str
    reason: str
    given: bool
    ended: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """Events that came together. `batch` is an EventBatch in bytes."""

    run_id: str
    first_seq: int
    count: int
    time: float
    batch: bytes


def _upsert(
    connection: Connection,
    table: Table,
    key: Sequence[str],
    rows: Iterable[Mapping[str, object]],
    *,
    unless: ColumnElement[bool] | None = None,
) -> None:
    """Insert rows, or replace what is there but for the key and what a later event alone may set.

    `unless`: what holds for a row that is to stay as it is.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = list(rows)
    if not values:
        return
    statement = dialect.insert(table)
    changing = {name: statement.excluded[name] for name in values[0] if name not in key and name != "late"}
    where = None if unless is None else ~unless
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changing, where=where), values)


def save_runs(connection: Connection, records: Iterable[RunRecord]) -> None:
    """Store runs as they are now."""
    _upsert(connection, runs, ("run_id",), ({**asdict(item), "state": str(item.state)} for item in records))


def save_attempts(connection: Connection, rows: Iterable[Mapping[str, object]]) -> None:
    """Store attempts as they are now: mappings with the columns of the table. `late` is left as it is.

    An end that is stored stays: a ctl that comes back to its run says again, and less exactly, what ended.
    """
    _upsert(connection, attempts, ("attempt_id",), rows, unless=attempts.c.state == "done")


def add_events(connection: Connection, batches: Iterable[StoredBatch]) -> None:
    """Store events."""
    values = [
        {
            "run_id": item.run_id,
            "first_seq": item.first_seq,
            "count": item.count,
            "time": item.time,
            "batch": item.batch,
        }
        for item in batches
    ]
    if values:
        connection.execute(events.insert(), values)


def save_recap(connection: Connection, run_id: str, counts: Mapping[str, HostRecap]) -> None:
    """Store the recap of a run."""
    rows = ({"run_id": run_id, "host": host, **asdict(recap)} for host, recap in counts.items())
    _upsert(connection, host_recaps, ("run_id", "host"), rows)


def mark_late(connection: Connection, attempt_ids: Iterable[str]) -> None:
    """Note that a result came for attempts that had their verdict. Nothing for those whose result is known."""
    values = [{"id": attempt_id} for attempt_id in attempt_ids]
    if values:
        marked = update(attempts).where(attempts.c.attempt_id == bindparam("id"), attempts.c.verdict)
        connection.execute(marked.values(late=True), values)


def running(connection: Connection) -> list[RunRecord]:
    """Return every run that is still `running`, the oldest first."""
    query = select(runs).where(runs.c.state == str(RunState.RUNNING)).order_by(runs.c.run_id)
    return [_run(row) for row in connection.execute(query).mappings()]


def interrupt(
    connection: Connection, *, run_ids: Collection[str] | None, moment: float, state: RunState, error: str
) -> list[RunRecord]:
    """End runs that are still `running` (None: all), and give their open attempts their verdict. Return those runs."""
    found = [item for item in running(connection) if run_ids is None or item.run_id in run_ids]
    ids = [item.run_id for item in found]
    if not ids:
        return []
    ended = {"state": str(state), "ended": moment, "error": error}
    connection.execute(update(runs).where(runs.c.run_id.in_(ids)).values(**ended))
    open_attempts = update(attempts).where(attempts.c.run_id.in_(ids), attempts.c.state != "done")
    connection.execute(
        open_attempts.values(state="done", reason="interrupted", failed=True, verdict=True, ended=moment)
    )
    return [replace(item, state=state, ended=moment, error=error) for item in found]


def newest(connection: Connection, *, limit: int, before: str = "") -> list[RunRecord]:
    """Return runs, the newest first, those older than `before` only."""
    query = select(runs).order_by(runs.c.run_id.desc()).limit(limit)
    if before:
        query = query.where(runs.c.run_id < before)
    return [_run(row) for row in connection.execute(query).mappings()]


def matching(connection: Connection, part: str, *, limit: int) -> list[RunRecord]:
    """Return the runs whose id begins or ends so, the newest first."""
    column = runs.c.run_id
    part = part.lower()
    query = select(runs).where(column.startswith(part, autoescape=True) | column.endswith(part, autoescape=True))
    return [_run(row) for row in connection.execute(query.order_by(column.desc()).limit(limit)).mappings()]


def attempts_of(connection: Connection, run_id: str) -> list[AttemptRecord]:
    """Return the attempts of a run, in the order in which it submitted them."""
    query = select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.position)
    return [AttemptRecord(**row) for row in connection.execute(query).mappings()]


def open_attempts(connection: Connection, run_id: str) -> list[OpenAttempt]:
    """Return the attempts of a run that have no end."""
    columns = (attempts.c.attempt_id, attempts.c.position, attempts.c.dispatched)
    query = select(*columns).where(attempts.c.run_id == run_id, attempts.c.state != "done")
    return [OpenAttempt(*row) for row in connection.execute(query)]


def ended_attempts(connection: Connection, run_id: str) -> list[EndedAttempt]:
    """Return how the attempts of a run ended that have an end."""
    columns = (attempts.c.attempt_id, attempts.c.reason, attempts.c.verdict, attempts.c.ended)
    query = select(*columns).where(attempts.c.run_id == run_id, attempts.c.state == "done")
    return [EndedAttempt(*row) for row in connection.execute(query)]


def last_position(connection: Connection, run_id: str) -> int:
    """Return the last place in which a run submitted an attempt, 0 for none."""
    return connection.execute(select(func.max(attempts.c.position)).where(attempts.c.run_id == run_id)).scalar() or 0


def recaps_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, dict[str, HostRecap]]:
    """Return the stored recaps of runs, by run and host."""
    query = select(host_recaps).where(host_recaps.c.run_id.in_(run_ids)).order_by(host_recaps.c.host)
    found: dict[str, dict[str, HostRecap]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["run_id"], {})[row["host"]] = HostRecap(**{name: row[name] for name in COUNTS})
    return found


def hosts_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    """Return how many hosts the stored recaps of runs have; every run that was asked for is there."""
    column = host_recaps.c.run_id
    query = select(column, func.count()).where(column.in_(run_ids)).group_by(column)
    found = dict.fromkeys(run_ids, 0)
    for run_id, count in connection.execute(query):
        found[run_id] = count
    return found


def batches_of(connection: Connection, run_id: str, *, from_seq: int = 0, limit: int = 100) -> list[StoredBatch]:
    """Return event batches in order, beginning with the one that holds `from_seq`."""
    query = (
        select(events)
        .where(events.c.run_id == run_id, events.c.first_seq + events.c["count"] > from_seq)
        .order_by(events.c.first_seq)
        .limit(limit)
    )
    return [StoredBatch(**row) for row in connection.execute(query).mappings()]


def _run(row: RowMapping) -> RunRecord:
    return RunRecord(**{**row, "state": RunState(row["state"])})
