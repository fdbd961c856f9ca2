"""audit: the rows of the audit log. Rows are added, and never changed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from pybible.server.controller.store.schema import audit
from pybible.server.results.audit import BEGINNING, Actor, AuditEntry, AuditRecord, chained


def add(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add entries after the last record."""
    if not entries:
        return
    last = connection.execute(select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)).one_or_none()
    seq, digest = (last.seq, last.digest) if last is not None else (0, BEGINNING)
    rows = []
    for entry in entries:
        record = chained(entry, seq=seq + 1, previous=digest)
        seq, digest = record.seq, record.digest
        rows.append(_row(record))
    connection.execute(insert(audit), rows)


def after(connection: Connection, seq: int, *, limit: int) -> list[AuditRecord]:
    """Return the records after number `seq`, in order."""
    query = select(audit).where(audit.c.seq > seq).order_by(audit.c.seq).limit(limit)
    return [
        AuditRecord(
            seq=row.seq,
            digest=row.digest,
            entry=AuditEntry(
                moment=row.moment,
                actor=Actor(identity=row.identity, role=row.role, address=row.address, serial=row.serial),
                action=row.action,
                target=row.target,
                allowed=row.allowed,
                reason=row.reason,
                run_id=row.run_id,
                details=row.details,
            ),
        )
        for row in connection.execute(query)
    ]


def _row(record: AuditRecord) -> dict[str, object]:
    entry = record.entry
    return {
        "seq": record.seq,
        "moment": entry.moment,
        "identity": entry.actor.identity,
        "role": entry.actor.role,
        "address": entry.actor.address,
        "serial": entry.actor.serial,
        "action": entry.action,
        "target": entry.target,
        "allowed": entry.allowed,
        "reason": entry.reason,
        "run_id": entry.run_id,
        "details": entry.details,
        "digest": record.digest,
    }
