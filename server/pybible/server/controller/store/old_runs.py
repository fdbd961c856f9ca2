"""old_runs: removes runs with all that is stored of them, a few rows at a time.

Every table that names a run in `run_id` is emptied of it, but for the audit log. The row of the run goes last: whatever
ends the controller in the middle, the next one goes on.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, and_, delete, or_, select, tuple_

from pybible.server.controller.store.run_tables import runs
from pybible.server.controller.store.runs import RunState
from pybible.server.controller.store.schema import audit, complete_metadata

# A batch of events may be large.
_EVENT_ROWS = 50


def oldest(connection: Connection, before: float) -> str:
    """Return the id of a run that ended before that moment (seconds since the epoch), empty without one."""
    over = and_(runs.c.state != str(RunState.RUNNING), runs.c.ended < before)
    # One without an end is none that a controller of ours has left.
    broken = and_(runs.c.state != str(RunState.RUNNING), runs.c.ended.is_(None), runs.c.started < before)
    return connection.execute(select(runs.c.run_id).where(or_(over, broken)).limit(1)).scalar() or ""


def remove_some(connection: Connection, run_id: str, *, rows: int) -> bool:
    """Remove up to so many rows of a run. False once nothing of it is left."""
    for table in _tables():
        limit = min(rows, _EVENT_ROWS) if table.name == "events" else rows
        if _remove(connection, table, run_id, limit):
            return True
    connection.execute(delete(runs).where(runs.c.run_id == run_id))
    return False


def _tables() -> list[Table]:
    """Return the tables that hold something of a run, without that of the runs themselves."""
    tables = complete_metadata().sorted_tables
    return [table for table in reversed(tables) if "run_id" in table.c and table not in (audit, runs)]


def _remove(connection: Connection, table: Table, run_id: str, rows: int) -> int:
    """Remove rows of a table; return how many."""
    key = list(table.primary_key.columns)
    some = select(*key).where(table.c.run_id == run_id).limit(rows)
    which = key[0].in_(some) if len(key) == 1 else tuple_(*key).in_(some)
    return connection.execute(delete(table).where(table.c.run_id == run_id, which)).rowcount
