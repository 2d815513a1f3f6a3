"""Chat completions and responses that were kept.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of stored objects."""
    op.create_table(
        "stored_objects",
        sa.Column("number", _big_key(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_asked", sa.Text(), nullable=False),
        sa.Column("model_answered", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("upstream_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("stored_objects_by_id", "stored_objects", ["project", "id"], unique=True)
    op.create_index(
        "stored_objects_by_creation", "stored_objects", ["project", "kind", "created_at", "id"], unique=False
    )
    op.create_index("stored_objects_by_expiry", "stored_objects", ["expires_at"], unique=False)
    op.create_table(
        "stored_object_metadata",
        sa.Column("object_number", _big_key(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("object_number", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "stored_object_metadata_by_pair", "stored_object_metadata", ["key", "value", "object_number"], unique=False
    )
    op.create_table(
        "stored_object_bodies",
        sa.Column("object_number", _big_key(), autoincrement=False, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("object_number"),
    )


def _big_key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
