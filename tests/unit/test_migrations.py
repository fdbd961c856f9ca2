"""test_migrations: a store is brought to exactly the tables that the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from pybible.server.controller.store import migrations
from pybible.server.controller.store.database import open_database
from pybible.server.controller.store.engine import open_engine, sqlite_url
from pybible.server.controller.store.schema import complete_metadata
from pybible.wire.errors import ConfigError


def test_a_migrated_store_has_the_declared_tables(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    migrations.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, complete_metadata()) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_that_is_named() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_migrated_store_is_left_alone(tmp_path: Path) -> None:
    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    migrations.upgrade(engine)
    before = (tmp_path / "x.db").stat().st_mtime_ns
    migrations.upgrade(engine)
    assert (tmp_path / "x.db").stat().st_mtime_ns == before
    engine.dispose()


def test_every_migration_can_be_taken_back(tmp_path: Path) -> None:
    from alembic import command

    engine = open_engine(sqlite_url(tmp_path / "x.db"))
    migrations.upgrade(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


async def test_a_store_of_a_newer_pybible_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "x.db")
    async with open_database(url) as database:
        await database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num='9'")))
    with pytest.raises(ConfigError, match="was written by another version of pybible"):
        async with open_database(url):
            pass


async def test_a_store_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    file.write_bytes(b"this is not a database, it only looks like one" * 100)
    with pytest.raises(ConfigError, match="file is not a database"):
        async with open_database(sqlite_url(file)):
            pass


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://x/y"])
async def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="the database URL can't be used"):
        async with open_database(url):
            pass
