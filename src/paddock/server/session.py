"""One agent's connection: what was heard on it, what its host was told, and what it has still to be told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from paddock.core.assignment import assignment
from paddock.model.assignment import AnyItem, Assignment, FileAssignment
from paddock.model.objects import HostId
from paddock.model.snapshot import Snapshot
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import HEARTBEAT_S, Assign, FromServer, Goodbye, Heartbeat, encode
from paddock.world.world import World

GATHER_S = 0.05
"""Differences to one host are at least so far apart; the first after a pause goes at once."""
MOST_WAITING = 256
"""Messages other than assignments that wait for a slow agent. One more, and the session ends: it starts over whole."""
SEND_TIMEOUT_S = 20.0
FAREWELL_TIMEOUT_S = 1.0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the other end, as its certificate says. `address` is for people."""

    host: HostId
    address: str = ""


class Session:
    """`finish` ends it from anywhere; nothing else does. Differences are never queued: a slow agent gets one larger
    difference instead of many small ones."""

    def __init__(self, world: World, channel: Channel, peer: Peer, instance: str) -> None:
        self.peer = peer
        self.instance = instance
        self.number = 0
        self.channel = channel
        self.last_heard_s = world.clock.monotonic_s()
        self.confirmed = 0
        self.over = asyncio.Event()
        self.reason = ""
        self._world = world
        self._goodbye: Goodbye | None = None
        self._waiting: deque[FromServer] = deque()
        self._wake = asyncio.Event()
        self._outdated = True
        self._sent: Assignment = {}
        self._sent_version = 0
        self._sent_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        self.last_heard_s = self._world.clock.monotonic_s()

    def silence_s(self) -> float:
        return self._world.clock.monotonic_s() - self.last_heard_s

    def finish(self, reason: str, goodbye: Goodbye | None = None) -> None:
        """The first reason given is the one that counts."""
        if not self.over.is_set():
            self.reason, self._goodbye = reason, goodbye
            self.over.set()

    def say(self, message: FromServer) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._world.probe("session ended because its agent was too slow")
            self.finish("the agent does not read what it is sent")
            return
        self._waiting.append(message)
        self._wake.set()

    def outdate(self) -> None:
        """Something its assignment may depend on has changed."""
        self._outdated = True
        self._wake.set()

    async def send_all(self, snapshot: Callable[[], Snapshot], filled: Callable[[AnyItem], AnyItem]) -> None:
        """Until cancelled or the channel ends. `filled` puts contents into file items."""
        try:
            while True:
                await self._send_next(snapshot, filled)
        except ChannelClosed as closed:
            self.finish(closed.reason or "connection closed")
        except TimeoutError:
            self.finish(f"the agent has read nothing for {SEND_TIMEOUT_S:.0f} s")

    async def _send_next(self, snapshot: Callable[[], Snapshot], filled: Callable[[AnyItem], AnyItem]) -> None:
        if not await self._woken(HEARTBEAT_S):
            await self._send(Heartbeat())
            return
        self._wake.clear()
        while self._waiting:
            await self._send(self._waiting.popleft())
        if not self._outdated:
            return
        pause_s = self._sent_at_s + GATHER_S - self._world.clock.monotonic_s()
        if self._sent_version and pause_s > 0:
            self._wake_after(pause_s)
            return
        self._outdated = False
        message = self.next_assign(snapshot(), filled)
        if message is not None:
            await self._send(message)

    def _wake_after(self, pause_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self._wake.set()

    async def _woken(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, message: FromServer) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self.channel.send(encode(message))

    def next_assign(self, snapshot: Snapshot, filled: Callable[[AnyItem], AnyItem]) -> Assign | None:
        """The whole assignment first, then differences; None when nothing differs."""
        wanted = assignment(snapshot, self.peer.host)
        since = self._sent_version
        items = tuple(item for key, item in wanted.items() if since == 0 or self._sent.get(key) != item)
        dropped = tuple(key for key in self._sent if key not in wanted)
        if since and not items and not dropped:
            return None
        self._sent, self._sent_version = wanted, snapshot.version
        self._sent_at_s = self._world.clock.monotonic_s()
        return Assign(
            version=snapshot.version,
            since=since,
            whole=since == 0,
            items=tuple(filled(item) if isinstance(item, FileAssignment) else item for item in items),
            dropped=dropped,
        )

    async def close(self) -> None:
        """Says goodbye when there is one to say, and waits for neither side for long."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                if self._goodbye is not None:
                    await self.channel.send(encode(self._goodbye))
                await self.channel.close(self.reason)
        except (ChannelClosed, TimeoutError):
            self._world.probe("goodbye did not arrive")
