"""What everybody in a run shares: its seed, trace, probes, mood, and the list of what went wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from paddock.sim.container import Mood
from paddock.sim.trace import Trace, TraceLog
from paddock.sim.world import SimulatedClock, simulated_world
from paddock.world.probes import Probes
from paddock.world.world import World

MOST_WRONGS = 20


class Stage:
    """`chance(who)` is a stream of its own for each who, so that one drawing more leaves the others as they are."""

    def __init__(self, seed: str, group: asyncio.TaskGroup, echo: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.group = group
        self.probes = Probes()
        self.mood = Mood()
        self.trace = Trace(asyncio.get_running_loop().time, echo)
        self.wrongs: list[str] = []
        self.over = asyncio.Event()
        """Set with the first wrong."""
        self.finished = False
        """The verdict is there: what follows is only tidying up."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def chance(self, who: str) -> random.Random:
        return random.Random(f"{self.seed}/{who}")

    def wrong(self, words: str) -> None:
        """An invariant does not hold: the run has failed."""
        if self.finished:
            return
        self.trace.note("WRONG", words)
        if len(self.wrongs) < MOST_WRONGS:
            self.wrongs.append(f"at {self.now():.3f} s: {words}")
        self.over.set()

    def world(self, who: str, clock: SimulatedClock, alive: Callable[[], bool]) -> World:
        log = TraceLog(self.trace, who.partition("/")[0], self.wrong, alive)
        return simulated_world(f"{self.seed}/{who}", self.probes, clock, log)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task of the run. What it raises fails the run, and only that."""
        task = self.group.create_task(self._guarded(work, name), name=name)
        task.add_done_callback(lambda done: work.close())  # It may be cancelled before it began.
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        error = await failure_of(work)
        if error is not None:
            self.wrong(f"{name} crashed: {described(error)}")


async def failure_of(work: Coroutine[Any, Any, None]) -> Exception | None:
    """What it raised. The simulator's boundary: whatever a process dies of is a finding, to be told with the seed."""
    try:
        await work
    except Exception as error:  # noqa: BLE001
        return error
    return None


def described(error: BaseException) -> str:
    """An exception and what it is made of, with the line that raised each."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(described(inner) for inner in error.exceptions)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    line = f"{where.tb_frame.f_code.co_filename.rpartition('paddock/')[2]}:{where.tb_lineno}" if where else "?"
    return f"{type(error).__name__} at {line}: {error}"
