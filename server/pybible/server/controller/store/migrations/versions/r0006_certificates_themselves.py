"""r0006_certificates_themselves: a certificate's digest beside its serial number, and who signed it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns. A certificate without a digest is not let in."""
    op.add_column("certificates", sa.Column("fingerprint", sa.String(64), nullable=True))
    op.add_column("certificates", sa.Column("issuer", sa.String(50), nullable=True))
    op.create_index("ix_certificates_issuer", "certificates", ["issuer"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_certificates_issuer", "certificates")
    with op.batch_alter_table("certificates") as batch:
        batch.drop_column("issuer")
        batch.drop_column("fingerprint")
