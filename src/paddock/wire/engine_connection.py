"""One HTTP/1.1 connection to an engine: a request goes out, an answer is read, and what breaks is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import h11
import msgspec

from paddock.wire.engine_errors import EngineUnreachable

CLOSE_TIMEOUT_S = 2.0
MOST_BODY_BYTES = 256 * 2**20
READ_BYTES = 256 * 1024

ByteStream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Body = bytes | AsyncIterator[bytes] | msgspec.Struct | dict[str, Any] | list[Any] | None


class Call(msgspec.Struct, frozen=True):
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: Body

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


class Connection:
    """One HTTP/1.1 connection, with the parser's state."""

    def __init__(self, stream: ByteStream) -> None:
        self.reader, self.writer = stream
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=256 * 1024)

    @property
    def reusable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing() and self.reader.exception() is None

    async def send(self, call: Call) -> None:
        headers, content = _framed(call)
        self._write(h11.Request(method=call.method, target=call.target, headers=headers))
        if isinstance(content, bytes):
            if content:
                self._write(h11.Data(data=content))
        else:
            async for chunk in content:
                self._write(h11.Data(data=chunk))
                await self.writer.drain()
        self._write(h11.EndOfMessage())
        await self.writer.drain()

    async def response(self) -> h11.Response | h11.InformationalResponse:
        """The final response, or 101; 100 Continue is passed over."""
        while True:
            event = await self.event()
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return event
                continue
            raise EngineUnreachable("the engine closed the connection instead of answering")

    async def event(self) -> Any:
        while True:
            event = self.parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.parser.receive_data(await self.reader.read(READ_BYTES))

    async def whole_body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while isinstance(event := await self.event(), h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > MOST_BODY_BYTES:
                raise EngineUnreachable(f"the engine's answer is larger than {MOST_BODY_BYTES} bytes")
        return b"".join(parts)

    def abandon(self) -> None:
        self.writer.close()

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            return

    def _write(self, event: Any) -> None:
        data = self.parser.send(event)
        if data:
            self.writer.write(data)


def _framed(call: Call) -> tuple[list[tuple[str, str]], bytes | AsyncIterator[bytes]]:
    headers = [("Host", "docker"), ("User-Agent", "paddock"), *call.headers]
    named = {name.lower() for name, _ in headers}
    body = call.body
    if body is None:
        if call.method in ("POST", "PUT"):
            headers.append(("Content-Length", "0"))
        return headers, b""
    if isinstance(body, msgspec.Struct | dict | list):
        body = msgspec.json.encode(body)
        if "content-type" not in named:
            headers.append(("Content-Type", "application/json"))
    if isinstance(body, bytes):
        headers.append(("Content-Length", str(len(body))))
    else:
        headers.append(("Transfer-Encoding", "chunked"))
    return headers, body


class broken_streams:
    """Turns what broken connections raise into `EngineUnreachable`."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case TimeoutError():
                raise EngineUnreachable(f"{self._doing}: no answer in time") from error
            case OSError() | h11.ProtocolError() | EOFError():
                raise EngineUnreachable(f"{self._doing}: {error or type(error).__name__}") from error
