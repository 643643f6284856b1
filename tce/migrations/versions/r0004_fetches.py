"""Which exports are to be completed from the archive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of requests."""
    op.create_table(
        "fetches",
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True),
        sa.Column("asked_at", sa.Float),
        sa.Column("tried_at", sa.Float),
        sa.Column("said", sa.Text, nullable=False),
    )
