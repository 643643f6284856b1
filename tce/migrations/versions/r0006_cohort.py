"""Keep for each export of a case what is released of its patient, so that the cohort can be measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "cohort",
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True),
        sa.Column("case_id", sa.String(64), nullable=False, index=True),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("traits", sa.Text, nullable=False),
    )
