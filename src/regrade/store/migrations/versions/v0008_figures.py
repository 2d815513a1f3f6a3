"""What processes count of themselves, and the chunks that wait.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of figures, and the index of chunks that are not done."""
    op.create_table(
        "process_figures",
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("figures", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("process"),
    )
    op.create_index(
        "chunks_undone",
        "chunks",
        ["run_number"],
        unique=False,
        postgresql_where=sa.text("done IS false"),
        sqlite_where=sa.text("done IS 0"),
    )
