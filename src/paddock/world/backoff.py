"""Waits between tries: exponential, bounded, with jitter from the world's chance."""

from __future__ import annotations

import asyncio

from paddock.world.world import World


class Backoff:
    """`await backoff.wait()` after each failure, `reset()` after a success. Full jitter over the upper half."""

    def __init__(self, world: World, first_s: float = 0.1, most_s: float = 8.0) -> None:
        self._world = world
        self._first_s = first_s
        self._most_s = most_s
        self.failures = 0

    def next_s(self) -> float:
        ceiling = min(self._most_s, self._first_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self._world.chance.uniform(ceiling / 2, ceiling)

    def reset(self) -> None:
        self.failures = 0

    async def wait(self) -> None:
        await asyncio.sleep(self.next_s())
