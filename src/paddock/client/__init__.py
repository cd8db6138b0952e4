"""The Python SDK of the REST API."""

from __future__ import annotations

from paddock.client.client import Client, Endpoint

__all__ = ["Client", "Endpoint"]
