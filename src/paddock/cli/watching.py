"""Events without an end: a stream that breaks is begun again from where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from paddock.client import Client
from paddock.model.errors import TooOld, Transient
from paddock.wire.api import EventView

AGAIN_AFTER_S = 1.0


async def endless_events(client: Client, since: int | None = None) -> AsyncGenerator[EventView, None]:
    """From now on where `since` is None, or no longer kept. For whom events only say when to look again."""
    while True:
        try:
            async with aclosing(client.events(since=since, follow=True)) as events:
                async for event in events:
                    since = event.version
                    yield event
        except TooOld:
            since = None
        except Transient:
            pass
        await asyncio.sleep(AGAIN_AFTER_S)
