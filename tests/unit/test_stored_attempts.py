"""test_stored_attempts: what the store keeps of an attempt that is told of again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from pybible.server.controller.store import runs
from pybible.server.controller.store.database import Database, open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.server.controller.store.runs import AttemptRecord


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(sqlite_url(tmp_path / "x.db")) as opened:
        yield opened


async def _told(database: Database, *told: tuple[str, str, float | None]) -> AttemptRecord:
    """Store an attempt as it is now, again and again: state, reason and end. Return what is kept."""
    for state, reason, ended in told:
        row = {
            "attempt_id": "r:1",
            "run_id": "r",
            "position": 1,
            "task_id": "t",
            "host": "web01",
            "agent": "web01",
            "module": "ping",
            "state": state,
            "reason": reason,
            "failed": bool(reason),
            "verdict": bool(reason),
            "late": False,
            "dispatched": 1.0,
            "ended": ended,
        }
        await database.write(partial(runs.save_attempts, rows=[row]))
    [kept] = await database.read(lambda connection: runs.attempts_of(connection, "r"))
    return kept


async def test_an_attempt_that_goes_on_is_what_was_said_last(database: Database) -> None:
    kept = await _told(database, ("dispatched", "", None), ("running", "", None), ("done", "", 2.0))
    assert (kept.state, kept.ended) == ("done", 2.0)


async def test_an_end_stays_whatever_is_said_of_it_later(database: Database) -> None:
    kept = await _told(database, ("done", "interrupted", 2.0), ("done", "", 9.0), ("running", "", None))
    assert (kept.state, kept.reason, kept.ended) == ("done", "interrupted", 2.0)
