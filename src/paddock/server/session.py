"""One agent's connection: what was heard on it, what its host was told, and what it has still to be told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from paddock.model.assignment import AnyItem, Assignment, FileAssignment
from paddock.model.objects import HostId
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import HEARTBEAT_S, Assign, FromServer, Goodbye, Heartbeat, encode
from paddock.world.world import World

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
        self._wanted: Assignment | None = None
        self._wanted_version = 0
        self._sent: Assignment = {}
        self._sent_version = 0
        self._sending = False
        self._sent_s = world.clock.monotonic_s()

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

    def want(self, wanted: Assignment, version: int) -> None:
        """What the host must hold at `version`; takes the place of anything older that has not been sent yet."""
        if version >= self._wanted_version:
            self._wanted, self._wanted_version = wanted, version
            self._wake.set()

    async def send_all(self, filled: Callable[[AnyItem], AnyItem]) -> None:
        """Until cancelled or the channel ends. `filled` puts contents into file items."""
        self._next_beat = asyncio.get_running_loop().call_later(HEARTBEAT_S / 2, self._beat)
        try:
            while True:
                await self._send_next(filled)
        except ChannelClosed as closed:
            self.finish(closed.reason or "connection closed")
        finally:
            self._next_beat.cancel()

    async def _send_next(self, filled: Callable[[AnyItem], AnyItem]) -> None:
        await self._wake.wait()
        self._wake.clear()
        while self._waiting:
            await self._send(self._waiting.popleft())
        message = self.next_assign(filled)
        if message is not None:
            await self._send(message)

    def _beat(self) -> None:
        """One timer for a session's life, instead of two for each of its messages (a fifth of what sending one costs).

        Says that the server lives when nothing else was said of late, and sees to it that no message takes for ever.
        """
        now_s = self._world.clock.monotonic_s()
        if self._sending and now_s - self._sent_s >= SEND_TIMEOUT_S:
            self.finish(f"the agent has read nothing for {SEND_TIMEOUT_S:.0f} s")
            return
        if not self._sending and now_s - self._sent_s >= HEARTBEAT_S / 2:
            self.say(Heartbeat())
        self._next_beat = asyncio.get_running_loop().call_later(HEARTBEAT_S / 2, self._beat)

    async def _send(self, message: FromServer) -> None:
        """The session's own timer ends it when the agent does not read."""
        self._sending, self._sent_s = True, self._world.clock.monotonic_s()
        await self.channel.send(encode(message))
        self._sending, self._sent_s = False, self._world.clock.monotonic_s()

    def next_assign(self, filled: Callable[[AnyItem], AnyItem]) -> Assign | None:
        """The whole assignment first, then differences; None when nothing differs."""
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return None
        since, sent = self._sent_version, self._sent
        items = tuple(item for key, item in wanted.items() if since == 0 or _differs(sent.get(key), item))
        dropped = tuple(key for key in sent if key not in wanted)
        if since and not items and not dropped:
            return None
        self._sent, self._sent_version = wanted, self._wanted_version
        return Assign(
            version=self._wanted_version,
            since=since,
            whole=since == 0,
            items=tuple(filled(item) if isinstance(item, FileAssignment) else item for item in items),
            dropped=dropped,
        )

    async def close(self) -> None:
        """Says goodbye when there is one to say, and waits for neither side for long."""
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                if self._goodbye is not None:
                    await self.channel.send(encode(self._goodbye))
                await self.channel.close(self.reason)
        except (ChannelClosed, TimeoutError):
            self._world.probe("goodbye did not arrive")


def _differs(sent: AnyItem | None, item: AnyItem) -> bool:
    """Most are the very same object."""
    return sent is not item and sent != item
