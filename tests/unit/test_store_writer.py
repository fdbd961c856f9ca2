"""test_store_writer: many works, one commit; a failing one fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from pybible.server.controller.store.engine import open_engine, sqlite_url
from pybible.server.controller.store.writer import Writer, WriterClosed


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


def add(number: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
        return number

    return work


def numbers(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT n FROM numbers ORDER BY n")).scalars())


class Blocked:
    """A work that keeps the writer busy until it is let go, so that what comes meanwhile is one batch."""

    def __init__(self) -> None:
        self._go = threading.Event()

    def __call__(self, connection: Connection) -> None:
        assert self._go.wait(30)

    def release(self) -> None:
        self._go.set()


async def test_what_waits_together_is_committed_together(engine: Engine) -> None:
    writer = Writer(engine)
    blocked = Blocked()
    first = writer.submit(blocked)
    later = [writer.submit(add(number)) for number in range(500)]
    blocked.release()
    await first
    assert [await future for future in later] == list(range(500))
    assert writer.commits <= 2
    assert numbers(engine) == list(range(500))
    await writer.close()


async def test_a_resolved_work_is_seen_by_another_connection(engine: Engine) -> None:
    writer = Writer(engine)
    await writer.submit(add(1))
    assert numbers(engine) == [1]
    await writer.close()


async def test_a_work_that_fails_fails_alone(engine: Engine) -> None:
    def fails_late(connection: Connection) -> None:
        connection.execute(text("INSERT INTO numbers VALUES (99)"))
        raise LookupError("no")

    writer = Writer(engine)
    blocked = Blocked()
    first = writer.submit(blocked)
    before, failing, after = writer.submit(add(1)), writer.submit(fails_late), writer.submit(add(2))
    blocked.release()
    await first
    assert (await before, await after) == (1, 2)
    with pytest.raises(LookupError, match="no"):
        await failing
    assert numbers(engine) == [1, 2]
    await writer.close()


async def test_a_constraint_that_fails_fails_alone(engine: Engine) -> None:
    writer = Writer(engine)
    await writer.submit(add(1))
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        await writer.submit(add(1))
    assert await writer.submit(add(2)) == 2
    await writer.close()


async def test_closing_writes_what_waits(engine: Engine) -> None:
    writer = Writer(engine)
    futures = [writer.submit(add(number)) for number in range(100)]
    await writer.close()
    assert all(future.done() for future in futures)
    assert numbers(engine) == list(range(100))
    with pytest.raises(WriterClosed):
        writer.submit(add(1000))


async def test_a_full_queue_makes_those_wait_who_can(engine: Engine) -> None:
    writer = Writer(engine, queue_works=2)
    blocked = Blocked()
    first = writer.submit(blocked)
    later = [writer.submit(add(number)) for number in range(3)]
    room = asyncio.ensure_future(writer.room())
    await asyncio.sleep(0)
    assert not room.done()
    blocked.release()
    await room
    await first
    assert [await future for future in later] == [0, 1, 2]
    await writer.close()


async def test_a_database_that_is_gone_fails_every_work_of_the_batch(engine: Engine, tmp_path: Path) -> None:
    writer = Writer(engine)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("DROP TABLE numbers"))
    with pytest.raises(Exception, match="no such table"):
        await writer.submit(add(1))
    await writer.close()


async def test_a_caller_that_went_away_disturbs_nobody(engine: Engine) -> None:
    writer = Writer(engine)
    blocked = Blocked()
    first = writer.submit(blocked)
    gone, stays = writer.submit(add(1)), writer.submit(add(2))
    gone.cancel()
    blocked.release()
    await first
    assert await stays == 2
    await writer.close()


async def test_nothing_of_a_batch_is_called_durable_when_the_disk_is_full(engine: Engine) -> None:
    writer = Writer(engine)
    await writer.submit(lambda connection: connection.execute(text("CREATE TABLE large (n BLOB)")))
    await writer.submit(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
    blocked = Blocked()
    first = writer.submit(blocked)
    small = writer.submit(add(1))
    large = writer.submit(lambda connection: connection.execute(text("INSERT INTO large VALUES (zeroblob(100000))")))
    after = writer.submit(add(2))
    blocked.release()
    results = await asyncio.gather(small, large, after, return_exceptions=True)
    # It is of the same batch. What nobody asks for is told of when the collector comes, in the midst of other tests.
    await asyncio.gather(first, return_exceptions=True)
    await writer.close()
    assert {str(getattr(each, "orig", each)) for each in results} == {"database or disk is full"}
    assert numbers(engine) == []
    assert writer.trouble == "database or disk is full"
