"""The one door to chance and the clock: whoever needs either is handed a `World`.

The real one reads the machine. The simulator's is made from a seed and its clock jumps; everything that waits does so
through the running asyncio loop (`asyncio.sleep`, `asyncio.timeout`), whose own clock the simulator replaces as well.
"""

from __future__ import annotations

import random
import secrets
import sys
import time
from typing import Protocol

# structlog takes rich along when it is there, for coloured tracebacks: 4 MB and 30 ms that no process of ours needs.
_hide_rich = sys.modules.setdefault("rich", None) is None  # type: ignore[arg-type]
import structlog  # noqa: E402

if _hide_rich:
    del sys.modules["rich"]

from paddock.world.probes import Probes  # noqa: E402


class Clock(Protocol):
    def now_s(self) -> float:
        """Wall clock, seconds since the epoch. May jump; compare only with other wall clock times."""
        ...

    def monotonic_s(self) -> float:
        """Never goes back. For deadlines and durations within one process."""
        ...


class Chance(Protocol):
    def uniform(self, low: float, high: float) -> float: ...

    def token(self, bytes_count: int = 32) -> str:
        """Unguessable, URL-safe text."""
        ...

    def hex(self, digits: int) -> str: ...


class World:
    """What a process may know of chance and time, and where it says what rare states it has seen."""

    def __init__(self, clock: Clock, chance: Chance, probes: Probes | None = None) -> None:
        self.clock = clock
        self.chance = chance
        self.probes = probes or Probes()
        self.log: structlog.stdlib.BoundLogger = structlog.get_logger()

    def now_s(self) -> float:
        return self.clock.now_s()

    def new_id(self, prefix: str) -> str:
        """`host-3f9c2a71be04`: short enough to type, wide enough never to meet (48 bits, checked on commit)."""
        return f"{prefix}-{self.chance.hex(12)}"

    def probe(self, name: str) -> None:
        """Marks a rare state as reached; the simulator fails a night that never reaches one."""
        self.probes.hit(name)


class MachineClock:
    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()


class MachineChance:
    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def token(self, bytes_count: int = 32) -> str:
        return secrets.token_urlsafe(bytes_count)

    def hex(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]


def machine_world() -> World:
    return World(MachineClock(), MachineChance())
