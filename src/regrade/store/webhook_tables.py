"""The tables of webhooks: who is told of ends, and what is still to be told."""

import sqlalchemy as sa

from regrade.store.columns import few, metadata
from regrade.store.text import Text

# A deleted endpoint's row stays, without its secrets, so that cursors which name it still page.
webhook_endpoints = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("project", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("url", Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("deleted_at", sa.BigInteger),
    # JSON texts. Of secrets the one in force is first; they are kept as they are, for they have to sign.
    sa.Column("event_types", sa.LargeBinary, nullable=False),
    sa.Column("secrets", sa.LargeBinary, nullable=False),
    sa.Index("webhook_endpoints_by_creation", "project", "id"),
    sqlite_with_rowid=False,
)

# One row an event and endpoint, written in the transaction that ends what the event is about.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("endpoint_id", Text, nullable=False),
    sa.Column("event_type", Text, nullable=False),
    # The JSON text that is sent, the same at every attempt.
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # Attempts that were begun. Who ends one names it, so that an attempt which took too long changes nothing.
    sa.Column("attempts", sa.Integer, nullable=False),
    # When the next attempt may begin; while one is under way, when it is taken for lost. Null once all is over.
    sa.Column("due_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("delivered", sa.Boolean),
    few("webhook_deliveries_due", "due_at", "due_at IS NOT NULL"),
    few("webhook_deliveries_waiting", "endpoint_id", "due_at IS NOT NULL"),
    few("webhook_deliveries_ended", "ended_at", "ended_at IS NOT NULL"),
    sqlite_with_rowid=False,
)
