"""test_retention: old runs leave the store, with all that is of them, and nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from pybible.server.controller.blobs.content import BlobStore
from pybible.server.controller.retention import Kept, Retention
from pybible.server.controller.store import audit, old_runs, runs
from pybible.server.controller.store.database import Database, open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.server.controller.store.run_tables import attempts, events, host_recaps
from pybible.server.controller.store.run_tables import runs as runs_table
from pybible.server.controller.store.runs import RunRecord, RunState, StoredBatch
from pybible.server.results.audit import NOBODY, AuditEntry, first_flaw
from pybible.server.results.recap import HostRecap

_DAY = 86400.0
_NOW = 1000 * _DAY


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(sqlite_url(tmp_path / "x.db")) as opened:
        yield opened


def _retention(database: Database, folder: Path, *, days: float = 90) -> Retention:
    blobs = BlobStore(folder / "blobs", limit=1000)
    return Retention(database=database, blobs=blobs, kept=Kept(runs=days * _DAY, blobs=_DAY), now=lambda: _NOW)


def _add(connection: Connection, run_id: str, *, days: float, state: RunState = RunState.FINISHED) -> None:
    """Add a run that ended so many days ago, with three attempts on two hosts."""
    began = _NOW - days * _DAY - 60
    ended = None if state is RunState.RUNNING else _NOW - days * _DAY
    record = RunRecord(
        run_id=run_id, name="x", operator="ada", forks=1, check_mode=False, state=state, started=began, ended=ended
    )
    runs.save_runs(connection, [record])
    rows = [
        {
            "attempt_id": f"{run_id}:{number}",
            "run_id": run_id,
            "position": number,
            "task_id": "t",
            "host": "web01",
            "agent": "web01",
            "module": "ping",
            "state": "done",
            "reason": "",
            "failed": False,
            "verdict": False,
            "late": False,
            "dispatched": began,
            "ended": ended,
        }
        for number in range(3)
    ]
    runs.save_attempts(connection, rows)
    batches = [StoredBatch(run_id=run_id, first_seq=seq, count=1, time=began, batch=b"x") for seq in range(1, 4)]
    runs.add_events(connection, batches)
    runs.save_recap(connection, run_id, {host: HostRecap(ok=3) for host in ("web01", "web02")})
    audit.add(connection, [AuditEntry(moment=began, actor=NOBODY, action="run.start", run_id=run_id)])


def _rows(connection: Connection, run_id: str) -> list[int]:
    """Return how many rows are left of a run: attempts, events, recaps and the run itself."""
    return [
        connection.execute(select(func.count()).select_from(table).where(table.c.run_id == run_id)).scalar_one()
        for table in (attempts, events, host_recaps, runs_table)
    ]


async def test_a_run_goes_when_it_ended_long_enough_ago(database: Database, tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        _add(connection, "old", days=91)
        _add(connection, "older", days=500, state=RunState.INTERRUPTED)
        _add(connection, "recent", days=89)
        _add(connection, "open", days=400, state=RunState.RUNNING)

    await database.write(fill)
    retention = _retention(database, tmp_path)
    told: list[str] = []
    retention.forget = told.append
    assert await retention.runs() == 2
    assert sorted(told) == ["old", "older"]
    left = {name: await database.read(lambda c, name=name: _rows(c, name)) for name in ("old", "older", "recent")}  # type: ignore[misc]
    assert left == {"old": [0, 0, 0, 0], "older": [0, 0, 0, 0], "recent": [3, 3, 2, 1]}
    assert await database.read(lambda c: _rows(c, "open")) == [3, 3, 2, 1]
    assert (await retention.runs(), retention.removed) == (0, 2)


async def test_the_audit_log_stays_whole(database: Database, tmp_path: Path) -> None:
    await database.write(lambda connection: _add(connection, "old", days=91))
    await _retention(database, tmp_path).runs()
    records = await database.read(lambda connection: audit.after(connection, 0, limit=10))
    assert [record.entry.run_id for record in records] == ["old"]
    assert not first_flaw(records)


async def test_nothing_goes_when_runs_are_kept_for_ever(database: Database, tmp_path: Path) -> None:
    await database.write(lambda connection: _add(connection, "old", days=9000))
    assert await _retention(database, tmp_path, days=0).runs() == 0
    assert await database.read(lambda c: _rows(c, "old")) == [3, 3, 2, 1]


async def test_a_run_goes_piece_by_piece_and_itself_last(database: Database) -> None:
    await database.write(lambda connection: _add(connection, "old", days=91))
    seen = []
    while await database.write(lambda connection: old_runs.remove_some(connection, "old", rows=2)):
        left = await database.read(lambda connection: _rows(connection, "old"))
        assert left[3] == 1
        seen.append(sum(left))
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    assert await database.read(lambda connection: _rows(connection, "old")) == [0, 0, 0, 0]
