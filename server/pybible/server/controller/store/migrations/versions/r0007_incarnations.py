"""r0007_incarnations: which process of an agent was attached last, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("agents", sa.Column("incarnation", sa.String(512), nullable=True))
    op.add_column("agents", sa.Column("incarnation_since", sa.Double(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("agents") as batch:
        batch.drop_column("incarnation_since")
        batch.drop_column("incarnation")
