"""A key for each field of a patient. What was sealed before stays as it is, and opens as it did.

Granted shares are for a field from now on. They are of use for hours only, so they are not carried over: an
approved request that was not used yet waits for its approval again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of the fields' keys, and that of the granted shares anew."""
    op.create_table(
        "field_keys",
        sa.Column("key_id", sa.String(32), sa.ForeignKey("subject_keys.id"), primary_key=True),
        sa.Column("field", sa.String(80), primary_key=True),
        sa.Column("parts", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.drop_table("granted_shares")
    op.create_table(
        "granted_shares",
        sa.Column("request_id", sa.String(32), sa.ForeignKey("custody_requests.id"), primary_key=True),
        sa.Column("key_id", sa.String(32), sa.ForeignKey("subject_keys.id"), primary_key=True),
        sa.Column("field", sa.String(80), primary_key=True),
        sa.Column("ciphertext", sa.Text, nullable=False),
    )
    op.execute(
        "UPDATE custody_requests SET state = 'requested', decided_by = '', decided = '' WHERE state = 'approved'"
    )


def downgrade() -> None:
    """Refused: dropping the fields' keys loses the way back to the patients."""
    raise NotImplementedError("restore the database from its backup instead")
