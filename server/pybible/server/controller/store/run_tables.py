"""run_tables: the tables of runs, in the metadata of schema. Moments are seconds since the epoch (UTC)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, String, Table, Text

from pybible.server.controller.store.schema import metadata

runs = Table(
    "runs",
    metadata,
    # Time-ordered: sorted by id is sorted by start.
    Column("run_id", String(36), primary_key=True),
    Column("name", Text, nullable=False),
    Column("operator", String(253), nullable=False, default=""),
    Column("forks", Integer, nullable=False),
    Column("check_mode", Boolean, nullable=False, default=False),
    # running, finished, cancelled, interrupted, failed
    Column("state", String(16), nullable=False, index=True),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("exit_status", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default=""),
)

attempts = Table(
    "attempts",
    metadata,
    # RUN_ID:ID, the name that an agent knows it by.
    Column("attempt_id", String(320), primary_key=True),
    Column("run_id", String(36), nullable=False),
    # In which place the run submitted it.
    Column("position", Integer, nullable=False),
    Column("task_id", String(253), nullable=False),
    Column("host", String(253), nullable=False),
    # As the run named it; empty for the control node.
    Column("agent", String(253), nullable=False),
    Column("module", String(253), nullable=False),
    # pending, dispatched, accepted, running, done
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("failed", Boolean, nullable=False, default=False),
    # The end is a verdict of the controller's: a result that comes now is late.
    Column("verdict", Boolean, nullable=False, default=False),
    # A result came after the verdict. It changed nothing.
    Column("late", Boolean, nullable=False, default=False),
    # When it got its slot, and when it gave it back.
    Column("dispatched", Double),
    Column("ended", Double),
    Index(None, "run_id", "position"),
)

# A row holds what arrived in one batch: one write, whatever the number of hosts.
events = Table(
    "events",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("first_seq", BigInteger, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("time", Double, nullable=False),
    # An EventBatch.
    Column("batch", LargeBinary, nullable=False),
)

host_recaps = Table(
    "host_recaps",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("host", String(253), primary_key=True),
    Column("ok", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("unreachable", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("rescued", Integer, nullable=False),
    Column("ignored", Integer, nullable=False),
)
