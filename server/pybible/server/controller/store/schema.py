"""schema: the tables of the fleet. Moments are seconds since the epoch (UTC) as floating point numbers.

The tables of runs are in run_tables, under the same metadata: `metadata` is complete once both are imported, and
`complete_metadata()` sees to that.
"""

from __future__ import annotations

import importlib

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

agents = Table(
    "agents",
    metadata,
    Column("agent_id", String(36), primary_key=True),
    # The inventory name. Bound to one agent at enrolment.
    Column("name", String(253), nullable=False, unique=True),
    # What the host calls itself.
    Column("hostname", String(253), nullable=False, default=""),
    Column("version", String(64), nullable=False, default=""),
    Column("labels", JSON, nullable=False),
    Column("enrolled", Double, nullable=False),
    # How many sessions were ever accepted: the epoch of the newest.
    Column("epoch", BigInteger, nullable=False, default=0),
    # The process of the agent that had it.
    Column("incarnation", String(512)),
    Column("incarnation_since", Double),
    # The lowest protocol version it may speak: what it once spoke, it never falls below again.
    Column("protocol_floor", Integer, nullable=False, default=0),
    Column("last_seen", Double),
)

# What agents said of their hosts. Deflated JSON, and JSON.
agent_facts = Table(
    "agent_facts",
    metadata,
    Column("agent_id", String(36), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("moving", LargeBinary, nullable=False),
    Column("gathered", Double, nullable=False),
)

certificates = Table(
    "certificates",
    metadata,
    # Decimal: a serial number has up to 160 bits.
    Column("serial", String(50), primary_key=True),
    # SHA-256 of the certificate itself, hex.
    Column("fingerprint", String(64)),
    # The serial number of the authority that signed it.
    Column("issuer", String(50), index=True),
    Column("role", String(16), nullable=False),
    # The agent's id, or the operator's name.
    Column("subject", String(253), nullable=False),
    Column("issued", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("revoked", Double),
    # What an operator may do with it; none for agents.
    Column("operator_role", String(16)),
    Index(None, "role", "subject"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(36), primary_key=True),
    # SHA-256 of the secret, hex. The secret itself is nowhere.
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("name_pattern", String(253), nullable=False, default=""),
    Column("labels", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("operator_role", String(16)),
    # Whoever enrols with it takes over the agent of that name. None: no.
    Column("replaces", Boolean),
)


audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("moment", Double, nullable=False),
    Column("identity", String(300), nullable=False),
    Column("role", String(16), nullable=False),
    Column("address", String(128), nullable=False),
    # Of the certificate, hex.
    Column("serial", String(50), nullable=False),
    Column("action", String(32), nullable=False),
    Column("target", String(300), nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run_id", String(36), nullable=False),
    Column("details", JSON, nullable=False),
    # Over this record and the digest of the one before.
    Column("digest", String(64), nullable=False),
)


def complete_metadata() -> MetaData:
    """Return the metadata with every table in it, those of runs too."""
    importlib.import_module("pybible.server.controller.store.run_tables")
    return metadata
