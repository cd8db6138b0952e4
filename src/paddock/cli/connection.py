"""A command's way to the server: the context's address and key, one event loop per command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from paddock.client import Client

Answer = TypeVar("Answer")


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Where PADDOCK_CONTEXT, PADDOCK_SERVER and the configuration file say; raises `UserError` if nowhere."""
    from paddock.client import Client
    from paddock.client.config import discover

    endpoint = discover(os.environ)
    async with Client(endpoint) as client:
        yield client
