"""Who is there. Heartbeats stay in memory; only their absence is written down."""

from __future__ import annotations

import asyncio

import msgspec

from paddock.model.changes import Change, Put
from paddock.model.errors import Transient
from paddock.model.objects import Host, HostId, HostState
from paddock.model.snapshot import Snapshot
from paddock.server.committing import Decision, commit_decision
from paddock.server.sessions import Sessions
from paddock.store.store import Store
from paddock.wire.messages import SILENT_AFTER_S
from paddock.world.world import World

CHECK_S = 0.5
STALL_S = 2.0
"""A server that has not come to look for so long heard nobody because of itself: it was busy, or its machine slept."""


class Presence:
    """Looks at what is and writes what follows, again and again, so that no single lost wake-up matters."""

    def __init__(self, world: World, store: Store, sessions: Sessions) -> None:
        self._world = world
        self._store = store
        self._sessions = sessions
        self._started_s = world.clock.monotonic_s()
        self.looked_s = self._started_s

    async def forgive(self) -> None:
        """Once, before anything is decided: while the server was away nobody could be heard, so silence counts anew."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            now_s = self._world.now_s()
            return tuple(
                Put(object=msgspec.structs.replace(host, since_s=now_s), reason="the server was away: a fresh grace")
                for host in _hosts(snapshot, HostState.SILENT)
            ), None

        self._started_s = self.looked_s = self._world.clock.monotonic_s()
        await commit_decision(self._store, decide)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._sessions.changed.clear()
            try:
                await self.check()
            except Transient as trouble:
                self._world.log.error("silence not committed", reason=trouble.message)
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._sessions.changed.wait()
            except TimeoutError:
                continue

    async def check(self) -> None:
        looked_s, self.looked_s = self.looked_s, self._world.clock.monotonic_s()
        if self.looked_s - looked_s > CHECK_S + STALL_S:
            self._world.probe("the server itself was away: nobody is called silent for it")
            self._world.log.warning("the server was not looking", for_s=round(self.looked_s - looked_s, 1))
            for session in list(self._sessions.live.values()):
                session.heard()
            return
        for session in list(self._sessions.live.values()):
            if session.silence_s() >= SILENT_AFTER_S:
                session.finish(f"nothing heard for {session.silence_s():.1f} s")
        if self._sessions.stopping or not self._silent(self._store.snapshot()):
            return
        await commit_decision(self._store, lambda snapshot: (self._silent(snapshot), None))

    def _silent(self, snapshot: Snapshot) -> tuple[Change, ...]:
        changes: list[Change] = []
        for host in _hosts(snapshot, HostState.ACTIVE):
            silence_s = self._silence_s(HostId(host.id))
            if silence_s is None:
                continue
            silent = msgspec.structs.replace(host, state=HostState.SILENT, since_s=self._world.now_s() - silence_s)
            gone = self._sessions.gone.get(HostId(host.id))
            why = f": {gone.reason}" if gone is not None and gone.reason else ""
            changes.append(Put(object=silent, reason=f"not heard of for {silence_s:.1f} s{why}"))
        return tuple(changes)

    def _silence_s(self, host: HostId) -> float | None:
        """None: it is there, or still has its grace."""
        session = self._sessions.live.get(host)
        now_s = self._world.clock.monotonic_s()
        if session is not None:
            return session.silence_s() if session.silence_s() >= SILENT_AFTER_S else None
        gone = self._sessions.gone.get(host)
        if gone is not None:
            return now_s - gone.since_s
        since_start_s = now_s - self._started_s
        return since_start_s if since_start_s >= SILENT_AFTER_S else None


def _hosts(snapshot: Snapshot, state: HostState) -> list[Host]:
    return [host for _, host in sorted(snapshot.table(Host).items()) if host.state == state]
