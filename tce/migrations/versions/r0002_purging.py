"""Keep what was purged and reported in mind, and what the audit trail was not told yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("instances", sa.Column("reported_at", sa.Float))
    op.add_column("instances", sa.Column("purged_at", sa.Float))
    op.create_index("ix_instances_arrived_at", "instances", ["arrived_at"])
    op.add_column("exports", sa.Column("purged_at", sa.Float))
    op.create_table(
        "untold",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("success", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("happened_at", sa.Float, nullable=False),
    )
