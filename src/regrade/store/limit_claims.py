"""Who uses how much of the models' limits, in SQL: one row a process, which counts for some seconds."""

import sqlalchemy as sa

from regrade.core.jsontext import dumps, loads
from regrade.ports.fleet import Tell
from regrade.store.database import Database
from regrade.store.tables import limit_claims

_LOCK = 0x72656772_6C696D74
"""Of PostgreSQL's advisory locks, the one that whoever says something about the limits holds."""
_LONGEST_S = 600.0
_NOW = {
    "sqlite": sa.text("SELECT (julianday('now') - 2440587.5) * 86400.0"),
    "postgresql": sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)"),
}


class SqlLimitLedger:
    """ports.LimitLedger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def exchange(self, process: str, tell: Tell, *, lasts_s: float) -> None:
        """See ports.LimitLedger."""
        row = limit_claims.c
        with self._database.write() as connection:
            dialect = connection.dialect.name
            if dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            now = float(connection.execute(_NOW[dialect]).scalar_one())
            # A time too far ahead was written before the clock was set back.
            connection.execute(
                limit_claims.delete().where(
                    sa.or_(row.process == process, row.ends_at <= now, row.ends_at > now + _LONGEST_S)
                )
            )
            others = {each.process: loads(each.claims) for each in connection.execute(sa.select(limit_claims))}
            claims = dumps(tell(others, now))
            connection.execute(limit_claims.insert().values(process=process, ends_at=now + lasts_s, claims=claims))

    def leave(self, process: str) -> None:
        """See ports.LimitLedger."""
        with self._database.write() as connection:
            connection.execute(limit_claims.delete().where(limit_claims.c.process == process))
