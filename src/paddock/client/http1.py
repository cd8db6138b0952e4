"""One HTTP/1.1 connection from the client's side, as far as our own server's answers need it.

A library for this takes longer to import than most commands take to run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from paddock.model.errors import UserError

READ_BYTES = 65536
MOST_TRAILERS = 100


class BadAnswer(EOFError):
    """What came is not HTTP, or ended too early."""


class Request(NamedTuple):
    method: str
    target: str
    headers: list[tuple[str, str]]

    def encode(self) -> bytes:
        """Raises `UserError` for what would be another header, or none."""
        for name, value in self.headers:
            if not (value.isascii() and value.isprintable()):
                raise UserError(f"{name} has characters that HTTP does not allow", hint="is the API key whole?")
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Answer(NamedTuple):
    """`length` None: until the connection ends."""

    status: int
    length: int | None
    chunked: bool
    keeps: bool


class HttpConnection:
    """A request, its status, its body, and again if it is then `reusable`. Raises `OSError` and `EOFError`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answer: _Answer | None = None
        self.reusable = False
        """The last answer was read to its end, and another may follow."""

    @property
    def alive(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    async def request(self, request: Request, body: bytes = b"") -> int:
        self.reusable = False
        self._writer.write(request.encode() + body)
        await self._writer.drain()
        self._answer = await self._head()
        while self._answer.status < 200:
            self._answer = await self._head()
        return self._answer.status

    async def pieces(self) -> AsyncIterator[bytes]:
        """The answer's body as it comes."""
        assert self._answer is not None
        if self._answer.chunked:
            while left := _number(await self._line(), 16):
                async for piece in self._bytes(left):
                    yield piece
                await self._line()
            for _ in range(MOST_TRAILERS):
                if not await self._line():
                    break
        elif self._answer.length is not None:
            async for piece in self._bytes(self._answer.length):
                yield piece
        else:
            while piece := await self._reader.read(READ_BYTES):
                yield piece
        self.reusable = self._answer.keeps

    async def body(self, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for piece in self.pieces():
            parts.append(piece)
            size += len(piece)
            if size > most:
                raise BadAnswer(f"the answer is larger than {most} bytes")
        return b"".join(parts)

    def drop(self) -> None:
        """At once: nothing is under way that matters, and a TLS farewell would only keep the process waiting."""
        self._writer.transport.abort()

    async def _head(self) -> _Answer:
        line, *fields = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = line.partition(" ")
        if not version.startswith("HTTP/1."):
            raise BadAnswer("the server does not answer in HTTP/1.1")
        headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        status = _number(rest.partition(" ")[0].encode("latin-1"), 10)
        length = headers.get("content-length")
        known = _number(length.encode("latin-1"), 10) if length else None
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        keeps = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        none = status < 200 or status in (204, 304)
        return _Answer(
            status, 0 if none else known, chunked and not none, keeps and (chunked or known is not None or none)
        )

    async def _bytes(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._reader.read(min(left, READ_BYTES))
            if not piece:
                raise BadAnswer("the server closed the connection within its answer")
            left -= len(piece)
            yield piece

    async def _line(self) -> bytes:
        return await self._until(b"\r\n")

    async def _until(self, end: bytes) -> bytes:
        try:
            return (await self._reader.readuntil(end))[: -len(end)]
        except asyncio.IncompleteReadError as error:
            raise BadAnswer("the server closed the connection instead of answering") from error
        except asyncio.LimitOverrunError as error:
            raise BadAnswer("the server's answer has a line without an end") from error


def _number(text: bytes, base: int) -> int:
    digits = text.partition(b";")[0].strip()
    try:
        if not digits.isalnum():
            raise ValueError
        return int(digits, base)
    except ValueError:
        raise BadAnswer(f"the server's answer has {text[:20]!r} where a number belongs") from None
