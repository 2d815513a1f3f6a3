"""What the tables are made of: where all of them are known, and columns and indexes of a special kind."""

import sqlalchemy as sa

metadata = sa.MetaData()

# A 64-bit key that SQLite takes as the table's own row id.
BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def few(name: str, column: str, which: str, on_sqlite: str | None = None) -> sa.Index:
    """An index of the few rows that the background looks for, however many there are."""
    return sa.Index(name, column, postgresql_where=sa.text(which), sqlite_where=sa.text(on_sqlite or which))
