"""Runs migrations on the connection, and in the transaction, that store/schema.py has opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
