"""Index what has arrived, and the exports made of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("file", sa.String(64), nullable=False, unique=True),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("arrived_at", sa.Float, nullable=False),
        sa.UniqueConstraint("sop_instance_uid", "digest"),
    )
    op.create_table(
        "exports",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(16), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("title", sa.String(16), nullable=False),
        sa.Column("description", sa.String(128), nullable=False),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("policy_digest", sa.String(71), nullable=False),
        sa.Column("calling_ae", sa.String(16), nullable=False),
        sa.Column("missing", sa.Integer, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("tally", sa.Text, nullable=False),
        sa.Column("unreadable", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("leased", sa.Boolean, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
    )
    op.create_table(
        "members",
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True, index=True),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("arrived", sa.Boolean, nullable=False),
    )
    op.create_table(
        "outputs",
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("is_manifest", sa.Boolean, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("export", sa.Integer, sa.ForeignKey("exports.number"), primary_key=True),
        sa.Column("receiver", sa.String(16), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(71), primary_key=True),
        sa.Column("delivered_at", sa.Float, nullable=False),
    )
