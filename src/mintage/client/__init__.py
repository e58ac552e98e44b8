"""The Python client of a served Mintage; imports core alone."""

from mintage.client.http import Client

__all__ = ["Client"]
