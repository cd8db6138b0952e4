"""Control connections with weather: messages late, whole connections lost, links cut and healed.

A connection is a stream, as TCP is: within one connection nothing is reordered or doubled, but everything in flight may
be lost with it, after either end believes it was sent. Reordering and doubling happen across connections, when an agent
comes back while its old connection still delivers.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

from paddock.wire.channel import ChannelClosed

WINDOW = 256
"""Messages in flight in one direction before `send` waits."""


class Weather:
    """How a host's link behaves now. `delay_s` is the range of one message's delay."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.delay_s = (0.0005, 0.005)
        self.cut = False
        self.zombie_chance = 0.3
        """Chance that a dropped connection's server end keeps delivering what was in flight."""


class _Pipe:
    """One direction."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._messages: deque[tuple[float, bytes]] = deque()
        self._changed = asyncio.Event()
        self.closed: str | None = None

    def put(self, message: bytes) -> None:
        due = asyncio.get_running_loop().time() + self._weather.random.uniform(*self._weather.delay_s)
        if self._messages:
            due = max(due, self._messages[-1][0])
        self._messages.append((due, message))
        self._changed.set()

    def close(self, reason: str, *, deliver: bool) -> None:
        if self.closed is None:
            self.closed = reason
        if not deliver:
            self._messages.clear()
        self._changed.set()

    async def space(self) -> None:
        while len(self._messages) >= WINDOW and self.closed is None:
            self._changed.clear()
            await self._changed.wait()

    async def get(self) -> bytes:
        while True:
            now = asyncio.get_running_loop().time()
            if self._messages and self._messages[0][0] <= now and not self._weather.cut:
                self._changed.set()
                return self._messages.popleft()[1]
            if not self._messages and self.closed is not None:
                raise ChannelClosed(self.closed)
            self._changed.clear()
            if self._messages:
                wait_s = max(self._messages[0][0] - now, 0.05 if self._weather.cut else 0.0)
                await asyncio.sleep(wait_s)
            else:
                await self._changed.wait()


class SimulatedChannel:
    """One end; make both with `connect`."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe, weather: Weather) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._weather = weather

    async def send(self, message: bytes) -> None:
        await self._outgoing.space()
        if self._outgoing.closed is not None:
            raise ChannelClosed(self._outgoing.closed)
        self._outgoing.put(message)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    async def close(self, reason: str = "") -> None:
        self._outgoing.close(reason or "closed", deliver=True)
        self._incoming.close(reason or "closed", deliver=False)

    def drop(self, reason: str) -> None:
        """The connection dies. Sometimes what was under way to the other end still arrives there, later."""
        zombie = self._weather.random.random() < self._weather.zombie_chance
        self._outgoing.close(reason, deliver=zombie)
        self._incoming.close(reason, deliver=False)


def connect(weather: Weather) -> tuple[SimulatedChannel, SimulatedChannel]:
    """(agent's end, server's end)."""
    up, down = _Pipe(weather), _Pipe(weather)
    return SimulatedChannel(up, down, weather), SimulatedChannel(down, up, weather)
