"""Whose a blob is, and whether these are the right ones.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Find records by their blobs, and remember the marker."""
    op.create_table(
        "blob_marker",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("files_by_blob", "files", ["blob"], unique=False)
    op.create_index("upload_parts_by_blob", "upload_parts", ["blob"], unique=False)
