"""The first version: subject keys and their shares, the mapping, custody requests and granted shares."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. A step never refers to vault.tables, which shows the newest version only."""
    op.create_table(
        "subject_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("patient", sa.String(64), nullable=False),
        sa.Column("created", sa.String(20), nullable=False),
    )
    op.create_index("subject_keys_of_patient", "subject_keys", ["case_id", "patient"])
    op.create_table(
        "shares",
        sa.Column("key_id", sa.String(32), sa.ForeignKey("subject_keys.id"), primary_key=True),
        sa.Column("custodian", sa.String(64), primary_key=True),
        sa.Column("ciphertext", sa.Text, nullable=False),
    )
    op.create_table(
        "mappings",
        sa.Column("case_id", sa.String(64), primary_key=True),
        sa.Column("patient", sa.String(64), primary_key=True),
        sa.Column("pseudonym", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("key_id", sa.String(32), sa.ForeignKey("subject_keys.id"), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(16), nullable=False),
        sa.Column("scheme", sa.String(16), nullable=False),
        sa.Column("key_version", sa.Integer, nullable=False),
        sa.Column("created", sa.String(20), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("mappings_by_pseudonym", "mappings", ["case_id", "pseudonym", "fingerprint"])
    op.create_table(
        "custody_requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("case_id", sa.String(64), nullable=False),
        sa.Column("patients", sa.JSON, nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("ticket", sa.String(64), nullable=False),
        sa.Column("requester", sa.String(64), nullable=False),
        sa.Column("requested", sa.String(20), nullable=False),
        sa.Column("expires", sa.String(20), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.String(64), nullable=False),
        sa.Column("decided", sa.String(20), nullable=False),
    )
    op.create_table(
        "granted_shares",
        sa.Column("request_id", sa.String(32), sa.ForeignKey("custody_requests.id"), primary_key=True),
        sa.Column("key_id", sa.String(32), sa.ForeignKey("subject_keys.id"), primary_key=True),
        sa.Column("ciphertext", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Refused: dropping a mapping loses the way back to the patients."""
    raise NotImplementedError("restore the database from its backup instead")
