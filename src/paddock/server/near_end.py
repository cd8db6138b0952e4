"""Our own end of a byte stream to a host: an asyncio reader and writer whose other side is in this process.

What a socket pair would do, without its copies through the kernel. Both ways are bounded, and wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from paddock.wire.engine_connection import ByteStream

READER_BYTES = 128 * 1024
"""Twice as much may lie in the reader before the host is made to wait."""
MOST_WAITING_BYTES = 256 * 1024


class NearEnd(asyncio.Transport):
    """`stream` is for whoever speaks to the host; `take`, `feed` and `feed_eof` are for who carries its bytes.

    `on_close` is called when the stream's owner has closed it altogether, not only half.
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._on_close = on_close
        self._reader = asyncio.StreamReader(limit=READER_BYTES, loop=self._loop)
        self._protocol = asyncio.StreamReaderProtocol(self._reader, loop=self._loop)
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        """No more will be written."""
        self._closed = False
        self._lost = False
        self._written = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._protocol.connection_made(self)
        self.stream: ByteStream = (
            self._reader, asyncio.StreamWriter(self, self._protocol, self._reader, self._loop),
        )  # fmt: skip

    # For who carries

    async def take(self) -> bytes:
        """What was written, all there is of it; b"" at the end."""
        while not self._waiting:
            if self._ended:
                return b""
            self._written.clear()
            await self._written.wait()
        data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._protocol.resume_writing()
        return data

    async def feed(self, data: bytes) -> None:
        """Waits while the reader has enough. Raises `ConnectionResetError` when nobody reads any more."""
        await self._wanted.wait()
        if self._closed:
            raise ConnectionResetError("the stream's reader has gone")
        self._reader.feed_data(data)

    def feed_eof(self) -> None:
        if not self._closed:
            self._reader.feed_eof()

    def lose(self) -> None:
        """The host's side is over: what has come can still be read."""
        self._shut()

    # For asyncio's reader and writer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended or not data:
            return
        self._waiting.append(bytes(data))
        self._size += len(data)
        self._written.set()
        if self._size > MOST_WAITING_BYTES and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True
        self._written.set()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        """What was written is still carried."""
        if not self._closed:
            self._shut()
            self._on_close()

    def abort(self) -> None:
        self._waiting.clear()
        self.close()

    def is_reading(self) -> bool:
        return self._wanted.is_set()

    def pause_reading(self) -> None:
        self._wanted.clear()

    def resume_reading(self) -> None:
        self._wanted.set()

    def get_write_buffer_size(self) -> int:
        return self._size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def _shut(self) -> None:
        self._closed = True
        self.write_eof()
        self._wanted.set()
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, None)
