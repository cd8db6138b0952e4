"""What happens from now on is asked of each engine once, however many clients listen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from paddock.gateway.cluster import Cluster
from paddock.gateway.following import Following, Told, Wanted
from paddock.gateway.hosts import Hosts

MOST_UNSENT = 10_000


class Listening:
    """One client's share. One that does not take what it asked for is let go: it would miss something otherwise."""

    def __init__(self, wants: Callable[[Told], bool]) -> None:
        self._wants = wants
        self._unsent: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.over = False

    def offer(self, told: Told) -> None:
        if self.over or not self._wants(told):
            return
        if len(self._unsent) >= MOST_UNSENT:
            self.end()
            return
        self._unsent.append(told.line)
        self._news.set()

    def end(self) -> None:
        self.over = True
        self._news.set()

    async def lines(self) -> AsyncIterator[bytes]:
        while True:
            while self._unsent:
                yield self._unsent.popleft()
            if self.over:
                return
            self._news.clear()
            await self._news.wait()


class _Feed:
    """Runs while it has listeners."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self.listeners: dict[Listening, None] = {}
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._following.run())
            tasks.create_task(self._pass_on())

    async def _pass_on(self) -> None:
        async for told in self._following.events():
            for listening in tuple(self.listeners):
                listening.offer(told)


class Feeds:
    """By environment."""

    def __init__(self, cluster: Cluster, hosts: Hosts) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self._feeds: dict[str, _Feed] = {}

    @contextmanager
    def listen(self, environment: str, wants: Callable[[Told], bool]) -> Iterator[Listening]:
        listening = Listening(wants)
        feed = self._feeds.get(environment)
        if feed is None:
            feed = self._feeds[environment] = self._begun(environment)
        feed.listeners[listening] = None
        try:
            yield listening
        finally:
            feed.listeners.pop(listening, None)
            if not feed.listeners:
                self._over(environment, feed)

    def _begun(self, environment: str) -> _Feed:
        feed = _Feed(Following(self._cluster, self._hosts, Wanted(environment=environment)))
        feed.running.add_done_callback(lambda _: self._failed(environment, feed))
        return feed

    def _failed(self, environment: str, feed: _Feed) -> None:
        """Nobody is left listening to nothing."""
        if not feed.running.cancelled():
            self._cluster.world.log.error("events are followed no more", error=repr(feed.running.exception()))
        self._over(environment, feed)

    def _over(self, environment: str, feed: _Feed) -> None:
        if self._feeds.get(environment) is feed:
            del self._feeds[environment]
        feed.running.cancel()
        for listening in feed.listeners:
            listening.end()
