"""r0007_incarnations: which process of an agent had the session of the newest epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column("agents", sa.Column("incarnation", sa.String(512), nullable=True))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("agents") as batch:
        batch.drop_column("incarnation")
