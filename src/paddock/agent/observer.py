"""The engine's containers as last seen, kept true by its events; lists anew after every gap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from paddock.drivers.engine import Engine
from paddock.model.errors import Transient
from paddock.model.observed import ObservedContainer
from paddock.world.backoff import Backoff
from paddock.world.world import World

RELIST_S = 60.0
"""Belt and braces: however it came, a wrong picture does not last longer than this."""
MOST_BACKOFF_S = 2.0
BATCH = 8

Changed = Callable[[ObservedContainer | None, ObservedContainer | None], None]
"""Called with a container before and after; None where there is none."""


class Observer:
    """Looks are numbered as they begin: what an earlier look says never overwrites what a later one found."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world
        self._looks = 0
        self._seen: dict[str, tuple[int, ObservedContainer | None]] = {}
        self._pending: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._relist = False
        self.listed = asyncio.Event()
        self.answers, self._silent = asyncio.Event(), asyncio.Event()
        self.trouble = ""
        self.on_change: Changed = lambda before, after: None
        self.on_list: Callable[[], None] = lambda: None

    def containers(self) -> list[ObservedContainer]:
        return [container for _, container in self._seen.values() if container is not None]

    async def follow(self) -> None:
        """Runs for ever. What happens is only noted here, so that events are never held up."""
        backoff = Backoff(self._world, first_s=0.1, most_s=MOST_BACKOFF_S)
        while True:
            try:
                async for container in self._engine.follow():
                    if container == "":
                        self._relist = True
                    else:
                        self._pending[container] = None
                    self._wake.set()
                    backoff.reset()
            except Transient as error:
                self._troubled(str(error))
                await backoff.wait()

    async def given_up(self, after_s: float) -> str:
        """Returns the trouble once the engine has not answered for so long."""
        while True:
            await self._silent.wait()
            try:
                async with asyncio.timeout(after_s):
                    await self.answers.wait()
            except TimeoutError:
                return self.trouble

    async def look(self) -> None:
        """Runs for ever: looks at what events point to."""
        backoff = Backoff(self._world, first_s=0.1, most_s=MOST_BACKOFF_S)
        while True:
            try:
                async with asyncio.timeout(RELIST_S):
                    await self._wake.wait()
            except TimeoutError:
                self._relist = True
            self._wake.clear()
            try:
                await self._look_once()
                backoff.reset()
            except Transient as error:
                self._troubled(str(error))
                self._wake.set()
                await backoff.wait()

    async def refresh(self, container: str) -> ObservedContainer | None:
        """Looks at one container now."""
        look = self._next_look()
        found = await self._engine.inspect(container)
        self._note(look, found.id if found else container, found)
        return found

    async def _look_once(self) -> None:
        if self._relist:
            await self._list()
        while batch := tuple(self._pending)[:BATCH]:
            for container in batch:
                del self._pending[container]
            try:
                await asyncio.gather(*map(self.refresh, batch))
            except Transient:
                self._relist = True
                raise

    async def _list(self) -> None:
        look = self._next_look()
        self._relist = False
        self._pending.clear()
        try:
            found = {container.id: container for container in await self._engine.containers()}
        except Transient:
            self._relist = True
            raise
        for container in [*found, *(old for old in self._seen if old not in found)]:
            self._note(look, container, found.get(container))
        self._seen = {
            key: (at, container) for key, (at, container) in self._seen.items() if container is not None or at > look
        }
        if self.trouble:
            self._world.log.info("engine answers again", was=self.trouble)
        self.trouble = ""
        self._silent.clear()
        self.answers.set()
        self.listed.set()
        self.on_list()

    def _next_look(self) -> int:
        self._looks += 1
        return self._looks

    def _note(self, look: int, container: str, found: ObservedContainer | None) -> None:
        at, before = self._seen.get(container, (0, None))
        if at > look:
            return
        self._seen[container] = (look, found)
        if before != found:
            self.on_change(before, found)

    def _troubled(self, words: str) -> None:
        if not self.trouble:
            self._world.log.error("engine does not answer", error=words)
        self.trouble = words
        self.answers.clear()
        self._silent.set()
