"""The Python client of a served Mintage; imports core alone."""

from mintage.client.http import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
