"""A command's way to the server: the context's address and key, one event loop per command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from paddock.client import Client
from paddock.client.config import discover

Answer = TypeVar("Answer")


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Raises `UserError` where no server is known."""
    async with Client(discover(os.environ)) as client:
        yield client
