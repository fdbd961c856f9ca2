"""migrations: brings the tables of a store up to date, at every start. No ini file: all that Alembic needs is here."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from pybible.wire.errors import ConfigError
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

# The newest revision. A store that is at it is opened without loading Alembic: the embedded controller starts often.
HEAD = "0007"


def current(engine: Engine) -> str:
    """Return the revision that a store is at, empty for one without tables."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return ""
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def upgrade(engine: Engine) -> None:
    """Run the migrations that a store lacks. ConfigError for one that a newer pybible has written."""
    found = current(engine)
    if found == HEAD:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with engine.execution_options(writes=True).begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError(
                f"the store {engine.url!r} was written by another version of pybible: {error}",
                hint="Start the version that wrote it, or give this one a state folder of its own.",
            ) from error
    if found:
        log.info("store migrated", extra=fields(before=found, revision=HEAD))
