"""Keep in mind which exports were reported as delayed for too long."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("exports", sa.Column("reported_at", sa.Float))
