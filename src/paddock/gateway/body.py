"""A message's body as it comes: its bytes as on the wire, for passing on untouched, or its content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from paddock.gateway.head import Framing
from paddock.gateway.problems import ApiProblem, BadMessage
from paddock.gateway.source import Source

MOST_JSON_BYTES = 16 * 2**20
MOST_LINE_BYTES = 4096
MOST_DISCARDED_BYTES = 2**20
DISCARD_TIMEOUT_S = 2.0
BODY_TIMEOUT_S = 120.0
"""How long a body that we read ourselves may take."""


class Taken(NamedTuple):
    """`used` bytes of what was fed belong to the body; `content` is what they carry."""

    used: int
    content: bytes


class Follower:
    """Follows a body through its framing. `done` once its last byte was seen."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._left = framing.length
        self._line = b""
        self._trailer = False
        self._chunk_end = False
        self.done = framing.kind == "length" and framing.length == 0

    def feed(self, data: bytes) -> Taken:
        match self._framing.kind:
            case "end":
                return Taken(len(data), data)
            case "length":
                taken = data[: self._left]
                self._left -= len(taken)
                self.done = not self._left
                return Taken(len(taken), taken)
        return self._chunks(data)

    def _chunks(self, data: bytes) -> Taken:
        at, content = 0, []
        while at < len(data) and not self.done:
            if self._left:
                piece = data[at : at + self._left]
                content.append(piece)
                self._left -= len(piece)
                at += len(piece)
                self._chunk_end = not self._left
                continue
            end = data.find(b"\n", at)
            stop = end + 1 if end >= 0 else len(data)
            self._line += data[at:stop]
            at = stop
            if len(self._line) > MOST_LINE_BYTES:
                raise BadMessage("a chunk's size line has no end")
            if end >= 0:
                line, self._line = self._line.strip(b"\r\n"), b""
                self._line_ended(line)
        return Taken(at, b"".join(content))

    def _line_ended(self, line: bytes) -> None:
        if self._chunk_end:
            if line:
                raise BadMessage("a chunk does not end where it says")
            self._chunk_end = False
        elif self._trailer:
            self.done = not line
        else:
            self._left = _size(line)
            self._trailer = not self._left


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not digits or len(digits) > 15 or any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
        raise BadMessage("a chunk does not begin with its size")
    return int(digits, 16)


class Body:
    """`invite` is called before the first byte is waited for: its sender holds it back until then."""

    def __init__(self, source: Source, framing: Framing, invite: Callable[[], Awaitable[None]] | None = None) -> None:
        self._source = source
        self._invite = invite
        self._broken = False
        self._follower = Follower(framing)
        self._framing = framing

    @property
    def done(self) -> bool:
        return self._follower.done

    async def _next(self) -> tuple[bytes, bytes] | None:
        if self.done:
            return None
        if self._invite is not None:
            invite, self._invite = self._invite, None
            await invite()
        data = await self._source.some()
        if not data:
            if self._framing.kind == "end":
                self._follower.done = True
                return None
            raise BadMessage("the connection ended inside a body")
        try:
            taken = self._follower.feed(data)
        except BadMessage:
            self._broken = True
            raise
        if taken.used < len(data):
            self._source.give_back(data[taken.used :])
            data = data[: taken.used]
        return data, taken.content

    async def raw(self) -> AsyncIterator[bytes]:
        """As on the wire, framing and all."""
        while (piece := await self._next()) is not None:
            if piece[0]:
                yield piece[0]

    async def content(self) -> AsyncIterator[bytes]:
        while (piece := await self._next()) is not None:
            if piece[1]:
                yield piece[1]

    async def discard(self, most: int = MOST_DISCARDED_BYTES) -> None:
        """What nobody wants to read, so that the client can hear the answer; not for ever. None is invited for that."""
        if self._broken or self._invite is not None:
            return
        size = 0
        try:
            async with asyncio.timeout(DISCARD_TIMEOUT_S):
                while size < most and (piece := await self._next()) is not None:
                    size += len(piece[0])
        except (TimeoutError, OSError, ApiProblem):
            return

    async def whole(self, most: int = MOST_JSON_BYTES) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                while (piece := await self._next()) is not None:
                    parts.append(piece[1])
                    size += len(piece[1])
                    if size > most:
                        raise ApiProblem(413, f"the request's body is larger than {most} bytes")
                return b"".join(parts)
        except TimeoutError:
            raise ApiProblem(408, "the request's body did not come to its end in time") from None
