"""Control connections with weather: messages late, whole connections lost, links cut and healed.

A connection is a stream, as TCP is: within one connection nothing is reordered or doubled, but everything in flight may
be lost with it, after either end believes it was sent. Reordering and doubling happen across connections, when an agent
comes back while its old connection still delivers.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from paddock.wire.channel import ChannelClosed

WINDOW = 256
"""Messages in flight in one direction before `send` waits."""


class Weather:
    """How a host's link behaves now. `delay_s` is the range of one message's delay."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.delay_s = (0.0005, 0.005)
        self.zombie_chance = 0.3
        """Chance that a dropped connection's other end keeps delivering what was in flight."""
        self._open = asyncio.Event()
        self._open.set()

    @property
    def cut(self) -> bool:
        return not self._open.is_set()

    @cut.setter
    def cut(self, value: bool) -> None:
        if value:
            self._open.clear()
        else:
            self._open.set()

    async def opened(self) -> None:
        await self._open.wait()


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
            if self._messages:
                due = self._messages[0][0]
                if due > now:
                    await asyncio.sleep(due - now)
                elif self._weather.cut:
                    await self._weather.opened()
                else:
                    self._changed.set()
                    return self._messages.popleft()[1]
            elif self.closed is not None:
                raise ChannelClosed(self.closed)
            else:
                self._changed.clear()
                await self._changed.wait()


class SimulatedChannel:
    """One end; make both with `connect`. `heard` is told what this end has received."""

    def __init__(self, outgoing: _Pipe, incoming: _Pipe, weather: Weather) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._weather = weather
        self.heard: Callable[[bytes], None] = lambda message: None

    async def send(self, message: bytes) -> None:
        await self._outgoing.space()
        if self._outgoing.closed is not None:
            raise ChannelClosed(self._outgoing.closed)
        self._outgoing.put(message)

    async def receive(self) -> bytes:
        message = await self._incoming.get()
        self.heard(message)
        return message

    async def close(self, reason: str = "") -> None:
        self._outgoing.close(reason or "closed", deliver=True)
        self._incoming.close(reason or "closed", deliver=False)

    def drop(self, reason: str) -> None:
        """The connection dies. Sometimes what was under way to the other end still arrives there, later."""
        zombie = self._weather.random.random() < self._weather.zombie_chance
        self._outgoing.close(reason, deliver=zombie)
        self._incoming.close(reason, deliver=False)

    @property
    def over(self) -> bool:
        return self._outgoing.closed is not None


def connect(weather: Weather) -> tuple[SimulatedChannel, SimulatedChannel]:
    """(agent's end, server's end)."""
    up, down = _Pipe(weather), _Pipe(weather)
    return SimulatedChannel(up, down, weather), SimulatedChannel(down, up, weather)
