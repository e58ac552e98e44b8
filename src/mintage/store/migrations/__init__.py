"""Alembic's environment: how a workspace's database came to its present shape."""
