"""Bytes coming in on a connection: heads and bodies are cut from it, what was read too far is kept."""

from __future__ import annotations

import asyncio

from paddock.gateway.problems import BadMessage

READ_BYTES = 256 * 1024
MOST_HEAD_BYTES = 64 * 1024


class Source:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._kept = b""

    async def some(self) -> bytes:
        """b"" at the end."""
        if self._kept:
            data, self._kept = self._kept, b""
            return data
        return await self._reader.read(READ_BYTES)

    async def waiting(self) -> bool:
        """Returns when something has come; False when the connection ended instead."""
        if not self._kept:
            self._kept = await self._reader.read(READ_BYTES)
        return bool(self._kept)

    def give_back(self, data: bytes) -> None:
        self._kept = data + self._kept

    async def head(self) -> bytes | None:
        """Up to and with the empty line; None when the connection ended before the first byte."""
        data = b""
        while True:
            more = await self.some()
            if not more:
                if data.strip():
                    raise BadMessage("the connection ended inside a request's head")
                return None
            searched = max(len(data) - 3, 0)
            data += more
            data = data.lstrip(b"\r\n") if not searched else data
            end = data.find(b"\r\n\r\n", searched)
            if end >= 0:
                self.give_back(data[end + 4 :])
                if end > MOST_HEAD_BYTES:
                    raise BadMessage("the head is larger than 64 KiB", 431)
                return data[: end + 4]
            if len(data) > MOST_HEAD_BYTES:
                raise BadMessage("the head is larger than 64 KiB", 431)
