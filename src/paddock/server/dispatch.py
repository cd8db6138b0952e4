"""Tells each host what it must hold: after a commit those it concerns, and whoever comes in.

What the hosts of a network have in common is worked out once for many of them. A host that is slow to read is told
the newest only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from paddock.core.assignment import UnitItems, assignments
from paddock.core.concerned import hosts_concerned
from paddock.model.changes import Change, Delete
from paddock.model.errors import TooOld
from paddock.model.objects import Host, HostId
from paddock.server.session import Session
from paddock.store.store import Store
from paddock.world.world import World

GATHER_S = 0.05
"""Rounds that tell somebody something are at least so far apart; the first after a pause starts at once."""
AT_ONCE = 64
"""Hosts worked out between two looks at the event loop."""


class Dispatch:
    """`run` for as long as the server lives. `removed` is told of hosts that are no longer there, with their name."""

    def __init__(
        self, world: World, store: Store, live: dict[HostId, Session], removed: Callable[[HostId, str], None]
    ) -> None:
        self._world = world
        self._store = store
        self._live = live
        self._removed = removed
        self._newcomers: dict[HostId, None] = {}
        self._asked = asyncio.Event()
        self._last_round_s = -GATHER_S
        self._items = UnitItems()

    def ask(self, host: HostId) -> None:
        """A session has begun: it is to be told everything."""
        self._newcomers[host] = None
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_all())
            tasks.create_task(self._welcome())

    async def _welcome(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            hosts, self._newcomers = list(self._newcomers), {}
            await self._tell(hosts)

    async def _follow_all(self) -> None:
        """Ends when the store is closed."""
        while True:
            try:
                await self._follow()
                return
            except TooOld:
                self._world.probe("dispatch fell behind the history: everybody is looked at")
                for host, session in list(self._live.items()):
                    if self._store.durable().get(Host, host) is None:
                        self._removed(host, session.peer.host)
                await self._tell(list(self._live))

    async def _follow(self) -> None:
        """`changes` cover exactly what lies between the two snapshots: what is compared is what was told."""
        before, commits = self._store.snapshot_and_watch()
        async for commit in commits:
            await self._gather()
            changes = list(commit.changes)
            after, version = self._store.durable(), commit.version
            while version < after.version:
                following = await anext(commits)
                changes += following.changes
                version = following.version
            self._note_removed(changes)
            concerned = hosts_concerned(changes, before, after)
            before = after
            told = [host for host in concerned if host in self._live]
            if told:
                self._last_round_s = self._world.clock.monotonic_s()
                await self._tell(told)

    async def _gather(self) -> None:
        pause_s = self._last_round_s + GATHER_S - self._world.clock.monotonic_s()
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    def _note_removed(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if isinstance(change, Delete) and isinstance(change.object, Host):
                self._removed(HostId(change.object.id), change.object.name)

    async def _tell(self, hosts: list[HostId]) -> None:
        for start in range(0, len(hosts), AT_ONCE):
            some = [host for host in hosts[start : start + AT_ONCE] if host in self._live]
            snapshot = self._store.durable()
            for host, wanted in assignments(snapshot, some, self._items).items():
                session = self._live.get(host)
                if session is not None:
                    session.want(wanted, snapshot.version)
            if start + AT_ONCE < len(hosts):
                await asyncio.sleep(0)
