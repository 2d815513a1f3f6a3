"""INSERT that minds what is there already, as each database spells it."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_INSERT: dict[str, Callable[[sa.Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Inserts:
    """One statement for both databases, built once: building it costs several times what running it does."""

    def __init__(self, table: sa.Table, finish: Callable[[Any], sa.Executable]) -> None:
        """`finish` says what is to happen at a conflict: SQLAlchemy names it alike for both."""
        self._statements = {dialect: finish(insert(table)) for dialect, insert in _INSERT.items()}

    def on(self, connection: sa.Connection) -> sa.Executable:
        """The statement for this connection."""
        return self._statements[connection.dialect.name]
