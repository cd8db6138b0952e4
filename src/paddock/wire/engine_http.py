"""The Docker Engine API over any byte stream: JSON calls, streams both ways, and hijacked connections.

The stream comes from an injected `dial`, so that the same client speaks to a local socket, through a tunnel to another
host, or to a simulated engine. Every wait is bounded: a host that was cut off never answers and never resets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import h11
import msgspec

from paddock.wire.engine_connection import (
    MOST_BODY_BYTES,
    READ_BYTES,
    Body,
    ByteStream,
    Call,
    Connection,
    broken_streams,
)
from paddock.wire.engine_errors import EngineError, EngineUnreachable, error_of

CONNECT_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 30.0
MOST_IDLE = 8
BUFFER_BYTES = 128 * 1024
"""Twice as much may lie unread before the engine is made to wait."""
NEWEST_API = (1, 45)
OLDEST_API = (1, 40)

Dial = Callable[[], Awaitable[ByteStream]]
Query = Mapping[str, str | int | bool | tuple[str, ...]]
"""A tuple is given once for each of its values."""
Headers = tuple[tuple[str, str], ...]


class Answer(msgspec.Struct, frozen=True):
    """`headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return msgspec.json.decode(self.body) if self.body else None


class StreamingAnswer:
    """An answer whose body arrives over time. `idle_timeout_s` None: silence is normal (events, logs -f)."""

    def __init__(self, connection: Connection, answer: Answer, idle_timeout_s: float | None) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._connection = connection
        self._idle_timeout_s = idle_timeout_s

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises `EngineUnreachable` when the connection breaks before the end."""
        while True:
            with broken_streams("reading the answer"):
                async with asyncio.timeout(self._idle_timeout_s):
                    event = await self._connection.event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return

    async def lines(self) -> AsyncIterator[bytes]:
        """Newline-terminated pieces; the last one may lack its newline."""
        pending = b""
        async for chunk in self.chunks():
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                yield line
            if len(pending) > MOST_BODY_BYTES:
                raise EngineUnreachable("the engine sent a line without an end")
        if pending:
            yield pending

    async def json_lines(self) -> AsyncIterator[Any]:
        async for line in self.lines():
            if line.strip():
                yield msgspec.json.decode(line)


class Hijacked:
    """A connection that has left HTTP: raw bytes both ways, each way closed on its own."""

    def __init__(self, connection: Connection, answer: Answer, early: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._connection = connection
        self._early = early

    async def read(self, most: int = READ_BYTES) -> bytes:
        """b"" at the end. Waits as long as the other side is silent: bound it where that is not normal."""
        if self._early:
            data, self._early = self._early[:most], self._early[most:]
            return data
        with broken_streams("reading a hijacked connection"):
            return await self._connection.reader.read(most)

    async def chunks(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def write(self, data: bytes) -> None:
        with broken_streams("writing to a hijacked connection"):
            self._connection.writer.write(data)
            await self._connection.writer.drain()

    def half_close(self) -> None:
        """No more from us; the other way stays open."""
        if self._connection.writer.can_write_eof():
            self._connection.writer.write_eof()

    async def close(self) -> None:
        await self._connection.close()


class EngineHttp:
    """`api` is fixed by `negotiate`, which the first call does by itself; it is lost with `forget`."""

    def __init__(self, dial: Dial, *, where: str = "the engine") -> None:
        self._dial = dial
        self._where = where
        self._idle: list[Connection] = []
        self._negotiating = asyncio.Lock()
        self.api: tuple[int, int] | None = None
        self.engine_api: tuple[int, int] | None = None

    # Calls

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Answer:
        """One call with its whole answer. Raises `EngineError` for 4xx and 5xx, `EngineUnreachable` for no answer."""
        call = await self._call(method, path, query, body)
        with broken_streams(f"{call} at {self._where}"):
            async with asyncio.timeout(timeout_s):
                return await self._round_trip(call)

    async def json(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        return (await self.call(method, path, query=query, body=body, timeout_s=timeout_s)).json()

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        headers: Headers = (),
        idle_timeout_s: float | None = None,
    ) -> AsyncIterator[StreamingAnswer]:
        """The connection is closed on leaving, whatever has been read."""
        call = await self._call(method, path, query, body, headers)
        connection = await self._connect()
        try:
            with broken_streams(f"{call} at {self._where}"):
                async with asyncio.timeout(idle_timeout_s or CALL_TIMEOUT_S):
                    answer = await self._answered(connection, call)
            yield StreamingAnswer(connection, answer, idle_timeout_s)
        finally:
            connection.abandon()

    async def upgrade(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        protocol: str | None = "tcp",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Hijacked:
        """attach, exec, session: 101, or the old style without `protocol`, where the bytes follow a 200."""
        headers = (("Connection", "Upgrade"), ("Upgrade", protocol)) if protocol else ()
        call = await self._call(method, path, query, body, headers)
        connection = await self._connect()
        answer: Answer | None = None
        try:
            with broken_streams(f"{call} at {self._where}"):
                async with asyncio.timeout(timeout_s):
                    answer = await self._answered(connection, call)
        finally:
            if answer is None:
                connection.abandon()
        return Hijacked(connection, answer, bytes(connection.parser.trailing_data[0]))

    async def ping(self, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Answer:
        call = Call("GET", "/_ping", (), None)
        with broken_streams(f"{call} at {self._where}"):
            async with asyncio.timeout(timeout_s):
                return await self._round_trip(call)

    async def negotiate(self) -> tuple[int, int]:
        """The highest API version both sides know, as the docker CLI finds it."""
        async with self._negotiating:
            if self.api is None:
                offered = (await self.ping()).headers.get("api-version", "1.40")
                major, _, minor = offered.partition(".")
                self.engine_api = (int(major), int(minor))
                if self.engine_api < OLDEST_API:
                    oldest = ".".join(map(str, OLDEST_API))
                    raise EngineError(400, f"{self._where} speaks API {offered}; Paddock needs {oldest} or newer")
                self.api = min(self.engine_api, NEWEST_API)
            return self.api

    def forget(self) -> None:
        """After the engine went away: it may come back as another version."""
        self.api = None
        for connection in self._idle:
            connection.abandon()
        self._idle.clear()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    # Parts

    async def _call(self, method: str, path: str, query: Query | None, body: Body, headers: Headers = ()) -> Call:
        api = self.api or await self.negotiate()
        target = f"/v{api[0]}.{api[1]}{quote(path, safe='/:@')}"
        if query:
            target += "?" + urlencode({name: _as_text(value) for name, value in query.items()}, doseq=True)
        return Call(method, target, headers, body)

    async def _round_trip(self, call: Call) -> Answer:
        connection = self._take_idle() or await self._connect()
        try:
            answer = await self._answered(connection, call)
            return msgspec.structs.replace(answer, body=await connection.whole_body())
        finally:
            self._give_back(connection)

    async def _answered(self, connection: Connection, call: Call) -> Answer:
        await connection.send(call)
        response = await connection.response()
        headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        answer = Answer(response.status_code, headers)
        if answer.status >= 400:
            raise error_of(answer.status, await connection.whole_body(), str(call))
        return answer

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.abandon()
        return None

    def _give_back(self, connection: Connection) -> None:
        """For the next call if this one came to its end, whatever the answer was; else it is closed."""
        parser = connection.parser
        if parser.our_state is h11.DONE and parser.their_state is h11.DONE and len(self._idle) < MOST_IDLE:
            parser.start_next_cycle()
            self._idle.append(connection)
        else:
            connection.abandon()

    async def _connect(self) -> Connection:
        with broken_streams(f"connecting to {self._where}"):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return Connection(await self._dial())


def _as_text(value: str | int | bool | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def unix_dial(path: str) -> Dial:
    """Dials the engine's socket at `path`."""

    async def dial() -> ByteStream:
        return await asyncio.open_unix_connection(path, limit=BUFFER_BYTES)

    return dial
