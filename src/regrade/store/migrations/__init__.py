"""Alembic's side of store/schema.py."""
