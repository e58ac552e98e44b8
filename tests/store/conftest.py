"""What is told of one database is told of both."""

from tests.databases import database_url

__all__ = ["database_url"]
