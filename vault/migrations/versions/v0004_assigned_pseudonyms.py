"""Pseudonyms that no key gives: drawn by chance, or brought by a list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "pseudonym_stores",
        sa.Column("stage", sa.String(16), primary_key=True),
        sa.Column("case_id", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("created", sa.String(20), nullable=False),
    )
    op.create_table(
        "assigned_pseudonyms",
        sa.Column("stage", sa.String(16), primary_key=True),
        sa.Column("case_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(16), primary_key=True),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("created", sa.String(20), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "assigned_pseudonyms_once",
        "assigned_pseudonyms",
        ["stage", "case_id", "pseudonym"],
        unique=True,
        sqlite_where=sa.text("kind <> 'days'"),
        postgresql_where=sa.text("kind <> 'days'"),
    )


def downgrade() -> None:
    """Refused: dropping a store changes the pseudonyms of every patient that comes again."""
    raise NotImplementedError("restore the database from its backup instead")
