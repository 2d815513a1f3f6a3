"""What the background looks for is found without reading all runs and files.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the few rows that are to be swept."""
    _few("runs_to_sweep", "runs", "number", "deleted_at IS NOT NULL AND swept_at IS NULL")
    _few("runs_with_secrets", "runs", "number", "has_secrets IS true", "has_secrets IS 1")
    _few("files_to_sweep", "files", "deleted_at", "blob IS NOT NULL AND deleted_at IS NOT NULL")
    _few("files_to_expire", "files", "expires_at", "blob IS NOT NULL AND expires_at IS NOT NULL")


def _few(name: str, table: str, column: str, which: str, on_sqlite: str | None = None) -> None:
    sqlite = sa.text(on_sqlite or which)
    op.create_index(name, table, [column], unique=False, postgresql_where=sa.text(which), sqlite_where=sqlite)
