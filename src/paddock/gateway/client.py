"""What goes out to a client: whole answers, answers that stream, and bytes passed on."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Sequence
from typing import Any

import msgspec

from paddock.gateway.head import encode

PHRASES = {
    200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout",
    409: "Conflict", 413: "Payload Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip
JSON = "application/json"


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. `body` that is not bytes goes as JSON."""

    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


def problem(status: int, message: str) -> Answer:
    return Answer(status, {"message": message})


class Client:
    """The writing side of one connection. Every write waits for the client to take it."""

    def __init__(self, writer: asyncio.StreamWriter, common: Sequence[tuple[str, str]]) -> None:
        self._writer = writer
        self.common = tuple(common)
        self.started = False
        """Some of an answer was sent: another cannot follow in its place."""
        self.closing = False
        """The connection ends after this answer."""
        self.chunks = True

    def begin_request(self, *, closing: bool, chunks: bool = True) -> None:
        """`chunks`: whether the client understands them; without, a streaming answer ends with the connection."""
        self.started = False
        self.closing = closing
        self.chunks = chunks

    async def answer(self, answer: Answer, *, method: str = "GET") -> None:
        body = answer.body
        headers = [*self.common, *answer.headers]
        if body is not None and not isinstance(body, bytes):
            body = msgspec.json.encode(body) + b"\n"
            headers.append(("Content-Type", JSON))
        if answer.status not in (204, 304):
            headers.append(("Content-Length", str(len(body or b""))))
        data = self._head(answer.status, headers)
        await self.write(data + (body or b"") if method != "HEAD" else data)

    async def start(self, status: int, headers: Sequence[tuple[str, str]] = ((("Content-Type", JSON)),)) -> None:
        """The head of a streaming answer, flushed at once; `chunk`s follow, then `end`."""
        await self.write(self._head(status, [*self.common, *headers, *self.streaming()]))

    def streaming(self) -> tuple[tuple[str, str], ...]:
        """What a head says of a body of unknown length."""
        if self.chunks:
            return (("Transfer-Encoding", "chunked"),)
        self.closing = True
        return ()

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunks else data)

    async def end(self) -> None:
        if self.chunks:
            await self.write(b"0\r\n\r\n")

    async def go_on(self) -> None:
        """To a client that waits before it sends its body (RFC 9110, 10.1.1)."""
        if not self.started:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._writer.drain()

    def gone(self) -> bool:
        """Closed altogether, where that can be told from half-closed: on a unix socket."""
        connection = self._writer.get_extra_info("socket")
        if connection is None or connection.family != socket.AF_UNIX:
            return False
        looking = select.poll()
        looking.register(connection.fileno(), 0)
        return any(events & select.POLLHUP for _, events in looking.poll(0))

    def _head(self, status: int, headers: Sequence[tuple[str, str]]) -> bytes:
        extra = [("Connection", "close")] if self.closing else []
        return encode(f"HTTP/1.1 {status} {PHRASES.get(status, 'Status')}", [*headers, *extra])

    async def write(self, data: bytes) -> None:
        self.started = True
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()
