"""A command's way to the server: the context's address and key, one event loop per command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from paddock.client.client import Client
from paddock.client.config import Context, client_of, config_file, context_of, load

Answer = TypeVar("Answer")

CONTEXT = "PADDOCK_CONTEXT"


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


def current() -> Context:
    """The context of `--context`, PADDOCK_CONTEXT or the file, with what the environment says put over it."""
    contexts = load(config_file(os.environ))
    return context_of(contexts, os.environ, os.environ.get(CONTEXT, ""))


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Raises `UserError` where no server is known."""
    async with client_of(current()) as client:
        yield client
