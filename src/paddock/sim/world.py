"""A world made from a seed: its clock is the virtual loop's, its chance a seeded generator."""

from __future__ import annotations

import asyncio
import random
from typing import cast

import structlog

from paddock.sim.trace import TraceLog
from paddock.world.probes import Probes
from paddock.world.world import World

EPOCH_S = 1_800_000_000.0


class SimulatedClock:
    """Wall clock = virtual time + an offset per machine, which `jump` moves (clocks of machines do that)."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s

    def now_s(self) -> float:
        return EPOCH_S + self.offset_s + asyncio.get_running_loop().time()

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    def jump(self, by_s: float) -> None:
        self.offset_s += by_s


class SimulatedChance:
    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def token(self, bytes_count: int = 32) -> str:
        return self._random.randbytes(bytes_count).hex()

    def hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


def simulated_world(
    seed: str, probes: Probes, clock: SimulatedClock | None = None, log: TraceLog | None = None
) -> World:
    """Each process of the cluster gets one of its own (`seed` differs), with the run's shared probes."""
    world = World(clock or SimulatedClock(), SimulatedChance(seed), probes)
    if log is not None:
        world.log = cast(structlog.stdlib.BoundLogger, log)
    return world
