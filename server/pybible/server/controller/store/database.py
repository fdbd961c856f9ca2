"""database: the store as the rest of the controller sees it: reads in threads, writes through the one writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from pybible.server.controller.store import agents
from pybible.server.controller.store.directory import AgentDirectory
from pybible.server.controller.store.engine import open_engine
from pybible.server.controller.store.migrations import upgrade
from pybible.server.controller.store.writer import Writer
from pybible.wire.errors import ConfigError

T = TypeVar("T")

# No store counts further.
LAST_NUMBER = 2**63 - 1


class Database:
    """An open store."""

    def __init__(self, engine: Engine, writer: Writer, directory: AgentDirectory) -> None:
        self.directory = directory
        self.engine = engine
        self.writer = writer

    def size(self) -> int:
        """Return the bytes of its files; 0 when it has none of its own here."""
        if self.engine.dialect.name != "sqlite" or not self.engine.url.database:
            return 0
        found = 0
        for suffix in ("", "-wal"):
            with suppress(OSError):
                found += Path(self.engine.url.database + suffix).stat().st_size
        return found

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, in a thread. It sees everything whose write was awaited before."""
        return await asyncio.to_thread(self._read, work)

    def write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Queue `work` for the writer: see Writer.submit."""
        return self.writer.submit(work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return work(connection)


def _prepare(url: str) -> tuple[Engine, AgentDirectory]:
    engine = open_engine(url)
    try:
        upgrade(engine)
        with engine.connect() as connection:
            directory = AgentDirectory(agents.every(connection))
    except SQLAlchemyError as error:
        engine.dispose()
        reason = getattr(error, "orig", None) or error
        raise ConfigError(f"the store {engine.url!r} can't be used: {reason}") from error
    return engine, directory


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Open the store at `url`, bring its tables up to date, and close it with everything written.

    ConfigError when it can't be used.
    """
    engine, directory = await asyncio.to_thread(_prepare, url)
    try:
        writer = Writer(engine)
        try:
            yield Database(engine, writer, directory)
        finally:
            await writer.close()
    finally:
        engine.dispose()
