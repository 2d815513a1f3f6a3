"""Workers, who works on a chunk, and how many have died of it.

See store/tables.py for what each table is for.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEPT = (
    "run_number, k, first_row, row_count, first_line, start, stop, "
    "epoch, done, passed, failed, errored, tally, waiting"
)


def upgrade() -> None:
    """Create the table of workers, and the table of chunks anew with its two more columns."""
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("workers_by_end", "workers", ["ended_at", "id"], unique=False)
    op.execute("CREATE TABLE chunks_before AS SELECT * FROM chunks")
    op.drop_table("chunks")
    op.create_table(
        "chunks",
        sa.Column("run_number", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("first_row", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("first_line", sa.BigInteger(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("errored", sa.BigInteger(), nullable=False),
        sa.Column("tally", sa.LargeBinary(), nullable=False),
        sa.Column("waiting", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("run_number", "k"),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO chunks ({_KEPT}, worker, deaths) SELECT {_KEPT}, NULL, 0 FROM chunks_before")  # noqa: S608
    op.drop_table("chunks_before")
