"""certificates: what was issued. What is not here, or is revoked, is not let in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from pybible.server.controller.store.schema import certificates
from pybible.wire.identity import Identity, OperatorRole, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """An issued certificate. Moments in seconds since the epoch.

    `fingerprint`: SHA-256 of the certificate (DER), hex. `issuer`: the serial number of the authority that signed it.
    """

    serial: int
    fingerprint: str
    issuer: int
    identity: Identity
    issued: float
    expires: float
    revoked: float | None = None
    # None for agents.
    operator_role: OperatorRole | None = None


def add(connection: Connection, record: CertificateRecord) -> None:
    """Store a certificate that was issued."""
    connection.execute(
        insert(certificates).values(
            serial=str(record.serial),
            fingerprint=record.fingerprint,
            issuer=str(record.issuer),
            role=str(record.identity.role),
            subject=record.identity.id,
            issued=record.issued,
            expires=record.expires,
            revoked=record.revoked,
            operator_role=record.operator_role,
        )
    )


def live(connection: Connection, moment: float) -> list[CertificateRecord]:
    """Return the certificates that are neither revoked nor expired."""
    query = (
        select(certificates)
        .where(
            certificates.c.fingerprint.is_not(None), certificates.c.revoked.is_(None), certificates.c.expires > moment
        )
        .order_by(certificates.c.issued)
    )
    return [
        CertificateRecord(
            serial=int(row.serial),
            fingerprint=row.fingerprint,
            issuer=int(row.issuer),
            identity=Identity(Role(row.role), row.subject),
            issued=row.issued,
            expires=row.expires,
            operator_role=OperatorRole(row.operator_role) if row.operator_role else None,
        )
        for row in connection.execute(query)
    ]


def holds(connection: Connection, identity: Identity) -> bool:
    """Whether `identity` has a certificate that is not revoked."""
    query = select(certificates.c.serial).where(
        certificates.c.role == str(identity.role),
        certificates.c.subject == identity.id,
        certificates.c.revoked.is_(None),
    )
    return connection.execute(query.limit(1)).first() is not None


def revoke(connection: Connection, identity: Identity, moment: float) -> list[int]:
    """Revoke every certificate of `identity` and return their serial numbers."""
    query = select(certificates.c.serial).where(
        certificates.c.role == str(identity.role),
        certificates.c.subject == identity.id,
        certificates.c.revoked.is_(None),
    )
    serials: Iterable[str] = list(connection.execute(query).scalars())
    connection.execute(update(certificates).where(certificates.c.serial.in_(serials)).values(revoked=moment))
    return [int(serial) for serial in serials]


def revoke_issued_by(connection: Connection, issuer: int, moment: float) -> int:
    """Revoke every certificate that the authority of that serial number signed. Return how many there were."""
    theirs = (certificates.c.issuer == str(issuer), certificates.c.revoked.is_(None))
    return connection.execute(update(certificates).where(*theirs).values(revoked=moment)).rowcount


def forget_expired(connection: Connection, before: float) -> int:
    """Drop what expired before that moment: it is refused by its date anyway. Return how many rows went."""
    return connection.execute(delete(certificates).where(certificates.c.expires < before)).rowcount
