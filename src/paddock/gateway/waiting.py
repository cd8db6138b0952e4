"""Waiting for the cluster to come to something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from paddock.gateway.cluster import Cluster
from paddock.model.errors import TooOld
from paddock.model.snapshot import Snapshot

T = TypeVar("T")


async def until(cluster: Cluster, look: Callable[[Snapshot], T | None], timeout_s: float) -> T | None:
    """What `look` finds, as soon as it finds something in what is durable; None after so long."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await _followed(cluster, look)
                except TooOld:
                    cluster.world.probe("a wait of the gateway fell behind the history")
    except TimeoutError:
        return None


async def _followed(cluster: Cluster, look: Callable[[Snapshot], T | None]) -> T | None:
    snapshot, commits = cluster.watch()
    if (found := look(snapshot)) is not None:
        return found
    async for _ in commits:
        if (found := look(cluster.durable())) is not None:
            return found
    return None
