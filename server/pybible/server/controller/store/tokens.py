"""tokens: join tokens without their secrets."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from pybible.server.controller.store.schema import tokens
from pybible.wire.identity import OperatorRole, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A join token as it is stored. Moments in seconds since the epoch; `secret_sha256` hex."""

    token_id: str
    secret_sha256: str
    created: float
    expires: float
    uses_left: int = 1
    role: Role = Role.AGENT
    name_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    revoked: bool = False
    # None for agents.
    operator_role: OperatorRole | None = None
    replaces: bool = False


def _record(row: RowMapping) -> TokenRecord:
    operator_role = OperatorRole(row["operator_role"]) if row["operator_role"] else None
    return TokenRecord(
        **{**row, "role": Role(row["role"]), "operator_role": operator_role, "replaces": bool(row["replaces"])}
    )


def add(connection: Connection, token: TokenRecord) -> None:
    """Store a new token."""
    connection.execute(
        insert(tokens).values(
            token_id=token.token_id,
            secret_sha256=token.secret_sha256,
            role=str(token.role),
            name_pattern=token.name_pattern,
            labels=dict(token.labels),
            created=token.created,
            expires=token.expires,
            uses_left=token.uses_left,
            revoked=token.revoked,
            operator_role=token.operator_role,
            replaces=token.replaces,
        )
    )


def every(connection: Connection) -> list[TokenRecord]:
    """Return all tokens, the newest first."""
    return [_record(row) for row in connection.execute(select(tokens).order_by(tokens.c.created.desc())).mappings()]


def find_by_secret(connection: Connection, secret_sha256: str) -> TokenRecord | None:
    """Return the token whose secret has that hash, whatever state it is in."""
    row = connection.execute(select(tokens).where(tokens.c.secret_sha256 == secret_sha256)).mappings().one_or_none()
    if row is None or not hmac.compare_digest(row["secret_sha256"], secret_sha256):
        return None
    return _record(row)


def use(connection: Connection, token_id: str, moment: float) -> bool:
    """Take one use of a token. False when it has none left, has expired or is revoked: never two for one."""
    taken = (
        update(tokens)
        .where(
            tokens.c.token_id == token_id,
            tokens.c.uses_left > 0,
            tokens.c.expires > moment,
            tokens.c.revoked.is_(False),
        )
        .values(uses_left=tokens.c.uses_left - 1)
    )
    return connection.execute(taken).rowcount == 1


def revoke(connection: Connection, token_id: str) -> bool:
    """Make a token good for nothing. Say whether it exists."""
    return connection.execute(update(tokens).where(tokens.c.token_id == token_id).values(revoked=True)).rowcount == 1


def forget_expired(connection: Connection, before: float) -> int:
    """Drop tokens that expired before that moment. Return how many."""
    return connection.execute(delete(tokens).where(tokens.c.expires < before)).rowcount
