"""Byte streams to hosts' engines: asked for over the control connection, dialled back by the agent.

Each end of a stream here is a pair of asyncio reader and writer, so whoever speaks to an engine does not know that it
is elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from paddock.model.errors import Refused, Transient
from paddock.model.images import SaveImage
from paddock.model.objects import HostId
from paddock.server.near_end import NearEnd
from paddock.server.sessions import Sessions
from paddock.wire.channel import EOF, ChannelClosed, StreamChannel
from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_http import EngineHttp
from paddock.wire.messages import OpenStream, encode
from paddock.wire.raw_stream import TAKEN
from paddock.world.world import World

OPEN_TIMEOUT_S = 10.0
MOST_STREAMS = 8000
MOST_STREAMS_OF_HOST = 2000
KEPT_FREE = 50
"""Of a host's: for our own short questions to its engine, however many streams users hold open."""
OPENING_AT_ONCE = 16
"""Of a host's: a thousand that are asked for together are opened one group after the other, none of them too late."""
MOST_KEPT_OF_HOST = 16
KEPT_S = 30.0
"""How long an idle connection waits for its next stream."""
TAKEN_TIMEOUT_S = 3.0
END_TIMEOUT_S = 0.5
"""For the engine to end a stream that was left, so that its connection can be kept."""
MOST_LAST_WORDS = 64 * 1024
"""Bytes that an engine may still say on it: `wait` complains that nobody waits any more."""


class _Stream:
    def __init__(self, host: HostId) -> None:
        self.host = host
        self.dialled: asyncio.Future[ByteStream] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self.abandoned = False
        """Our end was closed altogether, not only half: whatever still comes has no reader."""
        self.sent_all = False
        self.heard_all = False
        self.said_all = False
        self.kept = False
        """Its connection carries another stream if both ways end well, which is waited for a moment."""

    @property
    def ended_well(self) -> bool:
        return self.heard_all and self.said_all

    def near_end_lost(self) -> None:
        self.abandoned = True
        if not self.sent_all:
            return
        if not self.kept:
            self.over.set()
        elif not self.heard_all:
            asyncio.get_running_loop().call_later(END_TIMEOUT_S, self.over.set)

    def fail(self, error: Transient) -> None:
        if not self.dialled.done():
            self.dialled.set_exception(error)

    def give_up(self) -> None:
        """Nobody waits for it any more, whether or not it was dialled."""
        self.over.set()
        if not self.dialled.cancel() and not self.dialled.cancelled() and self.dialled.exception() is None:
            self.dialled.result()[1].close()


class Streams:
    def __init__(self, world: World, sessions: Sessions) -> None:
        self._world = world
        self._sessions = sessions
        self._streams: dict[str, _Stream] = {}
        self._of_host: Counter[HostId] = Counter()
        self._engines: dict[HostId, EngineHttp] = {}
        self._opening: dict[tuple[HostId, bool], asyncio.Semaphore] = {}
        self._kept: dict[HostId, list[asyncio.Future[OpenStream | None]]] = {}
        """Connections that wait for their next stream, the freshest last."""
        sessions.on_gone.append(self._host_gone)

    @property
    def open(self) -> int:
        return len(self._streams)

    @property
    def idle(self) -> int:
        """Connections that wait for their next stream."""
        return sum(map(len, self._kept.values()))

    def engine(self, host: HostId, name: str) -> EngineHttp:
        """The host's engine; idle connections to it are kept for the next caller."""
        if host not in self._engines:
            self._engines[host] = EngineHttp(lambda: self._in_turn(host, None, own=True), where=f"the engine of {name}")
        return self._engines[host]

    async def dial(self, host: HostId, save: SaveImage | None = None) -> ByteStream:
        """To its engine, or to read what its engine saves of an image.

        Raises `Transient` when the host is not connected or does not dial back in time.
        """
        return await self._in_turn(host, save, own=False)

    async def _in_turn(self, host: HostId, save: SaveImage | None, *, own: bool) -> ByteStream:
        """Users' streams and our own questions do not wait for one another."""
        async with self._opening.setdefault((host, own), asyncio.Semaphore(OPENING_AT_ONCE)):
            return await self._dial(host, save, kept_free=0 if own else KEPT_FREE)

    async def _dial(self, host: HostId, save: SaveImage | None, *, kept_free: int) -> ByteStream:
        if len(self._streams) + kept_free >= MOST_STREAMS or self._of_host[host] + kept_free >= MOST_STREAMS_OF_HOST:
            raise Transient(f"too many streams are open to host {host}", retry_after_s=1.0)
        id = self._world.chance.token(24)
        stream = _Stream(host)
        self._streams[id] = stream
        self._of_host[host] += 1
        given = False
        try:
            self._ask(host, OpenStream(stream=id, save=save))
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                near = await asyncio.shield(stream.dialled)
            given = True
            return near
        except TimeoutError:
            raise Transient(
                f"host {host} did not open a stream within {OPEN_TIMEOUT_S:.0f} s", retry_after_s=1.0
            ) from None
        finally:
            if not given:
                stream.give_up()
                self._forget(id)

    def _ask(self, host: HostId, asked: OpenStream) -> None:
        """On a connection that was kept, or for a new one."""
        waiting = self._kept.get(host, [])
        while waiting and asked.save is None:
            next_stream = waiting.pop()
            if not next_stream.done():
                next_stream.set_result(asked)
                return
        self._sessions.say(host, asked)

    def _forget(self, id: str) -> None:
        stream = self._streams.pop(id, None)
        if stream is not None:
            self._of_host[stream.host] -= 1
            if not self._of_host[stream.host]:
                del self._of_host[stream.host]

    async def accept(self, id: str, host: HostId, channel: StreamChannel) -> None:
        """Called for a connection that an agent dialled; carries bytes until both ways have ended, and perhaps those
        of streams that follow."""
        while True:
            stream = self._streams.get(id)
            if stream is None or stream.host != host or stream.dialled.done():
                self._world.probe("a stream was dialled that nobody waits for")
                await _end(channel, "nobody waits for this stream")
                return
            stream.kept = channel.kept
            await self._serve(id, stream, channel)
            following = await self._following(host, channel) if stream.ended_well and stream.kept else None
            if following is None:
                await _end(channel, "")
                return
            id = following.stream

    async def _following(self, host: HostId, channel: StreamChannel) -> OpenStream | None:
        """What an idle connection is to carry next, the agent having said that it will; None when it is of no use."""
        waiting = self._kept.setdefault(host, [])
        if len(waiting) >= MOST_KEPT_OF_HOST or not self._sessions.alive(host):
            return None
        wanted: asyncio.Future[OpenStream | None] = asyncio.get_running_loop().create_future()
        waiting.append(wanted)
        hearing = asyncio.ensure_future(channel.receive())
        try:
            await asyncio.wait((wanted, hearing), timeout=KEPT_S, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                return None
            asked = wanted.result()
            return asked if asked is not None and await self._taken(host, asked, channel, hearing) else None
        finally:
            if not hearing.cancel() and not hearing.cancelled():
                hearing.exception()
            wanted.cancel()
            if wanted in waiting:
                waiting.remove(wanted)

    async def _taken(
        self, host: HostId, asked: OpenStream, channel: StreamChannel, hearing: asyncio.Future[bytes | str]
    ) -> bool:
        """Otherwise the stream is asked for anew, over a connection of its own."""
        try:
            async with asyncio.timeout(TAKEN_TIMEOUT_S):
                await channel.send(encode(asked).decode())
                if await asyncio.shield(hearing) == TAKEN:
                    return True
        except (ChannelClosed, TimeoutError):
            self._world.probe("a kept connection was of no use any more")
        if asked.stream in self._streams:
            try:
                self._sessions.say(host, asked)
            except Transient as error:
                self._streams[asked.stream].fail(error)
        return False

    async def _serve(self, id: str, stream: _Stream, channel: StreamChannel) -> None:
        near = NearEnd(stream.near_end_lost)
        stream.dialled.set_result(near.stream)
        try:
            await self._carry(stream, near, channel)
        finally:
            self._forget(id)
            near.lose()

    async def _carry(self, stream: _Stream, near: NearEnd, channel: StreamChannel) -> None:
        async with asyncio.TaskGroup() as tasks:
            ways = [
                tasks.create_task(_from_agent(stream, channel, near)),
                tasks.create_task(_to_agent(stream, near, channel)),
            ]
            both = tasks.create_task(_when_done(ways, stream))
            await stream.over.wait()
            for task in (*ways, both):
                task.cancel()

    def _host_gone(self, host: HostId, reason: str) -> None:
        """Streams end with their host: nobody would ever hear of a cut one otherwise."""
        for own in (True, False):
            self._opening.pop((host, own), None)
        for wanted in self._kept.pop(host, []):
            if not wanted.done():
                wanted.set_result(None)
        engine = self._engines.pop(host, None)
        if engine is not None:
            engine.forget()
        for stream in [stream for stream in self._streams.values() if stream.host == host]:
            stream.over.set()
            stream.fail(Transient(f"host {host} is not connected any more: {reason}"))


async def _end(channel: StreamChannel, reason: str) -> None:
    with suppress(ChannelClosed, TimeoutError):
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await channel.close(reason)


async def _when_done(ways: list[asyncio.Task[None]], stream: _Stream) -> None:
    await asyncio.wait(ways)
    stream.over.set()


async def _from_agent(stream: _Stream, channel: StreamChannel, near: NearEnd) -> None:
    unheard = 0
    try:
        while (message := await channel.receive()) != EOF:
            if isinstance(message, str):
                raise Refused(f"not a stream message: {message[:40]!r}")
            unheard += len(message) if stream.abandoned else 0
            if not stream.abandoned or not stream.kept or unheard > MOST_LAST_WORDS:
                await near.feed(message)
        stream.heard_all = True
        near.feed_eof()
    except (ChannelClosed, OSError, Refused):
        stream.over.set()


async def _to_agent(stream: _Stream, near: NearEnd, channel: StreamChannel) -> None:
    try:
        while data := await near.take():
            await channel.send(data)
        stream.sent_all = True
        if stream.abandoned:
            stream.near_end_lost()
        if stream.kept or not stream.abandoned:
            await channel.send(EOF)
            stream.said_all = True
    except (ChannelClosed, OSError):
        stream.over.set()
