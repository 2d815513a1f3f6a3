"""Which workers train, and where.

See store/tables.py for what each column is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let workers say in which folder they train."""
    op.add_column("workers", sa.Column("trains", sa.Text(), nullable=True))
