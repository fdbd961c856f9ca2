"""r0005_replacing_tokens: tokens with which a host that was built anew takes over its name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("tokens", sa.Column("replaces", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("tokens") as batch:
        batch.drop_column("replaces")
