"""env: what Alembic runs to get at the store. The connection is handed in: see upgrade()."""

from __future__ import annotations

from alembic import context

from pybible.server.controller.store.schema import complete_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=complete_metadata(),
    render_as_batch=True,
    # With our own BEGIN, SQLite's tables come and go with the transaction: a migration that is cut short left nothing.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
