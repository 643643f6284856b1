"""What receivers were asked to commit themselves to, and what they said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of requests, and note commitment at each delivery."""
    op.add_column("deliveries", sa.Column("committed_at", sa.Float))
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", sa.String(64), primary_key=True),
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), nullable=False, index=True),
        sa.Column("receiver", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float),
        sa.Column("refused", sa.Text, nullable=False),
    )
