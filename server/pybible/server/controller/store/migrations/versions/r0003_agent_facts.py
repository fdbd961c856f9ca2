"""r0003_agent_facts: what agents say of their hosts by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make room for the facts."""
    op.create_table(
        "agent_facts",
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("moving", sa.LargeBinary(), nullable=False),
        sa.Column("gathered", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_facts")),
    )


def downgrade() -> None:
    """Forget them."""
    op.drop_table("agent_facts")
