"""r0002_operator_roles: what the certificates and tokens of operators are good for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the roles. Whoever was an operator before could do everything."""
    for table in ("certificates", "tokens"):
        op.add_column(table, sa.Column("operator_role", sa.String(length=16), nullable=True))
        op.execute(f"UPDATE {table} SET operator_role = 'admin' WHERE role = 'operator'")  # noqa: S608  our own names


def downgrade() -> None:
    """Forget the roles."""
    for table in ("tokens", "certificates"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("operator_role")
