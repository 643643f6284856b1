"""Rows have tags, by which a change is found. Rows that were there have none until somebody vouches for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("mappings", sa.Column("tag", sa.LargeBinary(16), nullable=True))


def downgrade() -> None:
    """Refused: dropping tags would hide what was changed."""
    raise NotImplementedError("restore the database from its backup instead")
