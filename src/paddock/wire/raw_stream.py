"""A byte stream in frames of its own, on a connection that a WebSocket handshake opened.

What WebSockets do to bytes (masks, a parser in Python, messages put together) costs more than all else on their way.
Both sides agree on it by the subprotocol `RAW`; who does not know it gets a WebSocket. A frame is its kind (one byte),
a length (four, big-endian) and so many bytes.

With `KEPT`, which adds text, a connection whose both ways have ended carries the next stream: the server says which (by
the message of the control connection), the agent answers `TAKEN`. Dialling costs a hundred times as much.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque

from paddock.wire.channel import EOF, ChannelClosed

RAW = "paddock.stream.1"
KEPT = "paddock.stream.2"
TAKEN = "taken"
MOST_ARRIVED_BYTES = 256 * 1024
MOST_UNSENT_BYTES = 256 * 1024
CLOSE_TIMEOUT_S = 2.0
_HEAD = struct.Struct(">BI")
_DATA, _EOF, _TEXT = 0, 1, 2
MOST_TEXT_BYTES = 1024 * 1024


class RawStream:
    """`send`, `receive` and `close` are for its user, the rest for the connection whose bytes it gets."""

    def __init__(self, transport: asyncio.Transport, *, kept: bool = False) -> None:
        self.kept = kept
        """It may carry another stream once this one has ended both ways."""
        transport.set_write_buffer_limits(high=MOST_UNSENT_BYTES)
        self._transport = transport
        self._arrived: deque[bytes | str] = deque()
        self._size = 0
        self._head = b""
        self._left = 0
        self._text: bytearray | None = None
        self._news = asyncio.Event()
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._over = asyncio.Event()
        self._reason = ""

    async def send(self, message: bytes | str) -> None:
        """Waits while the other side is slow. Raises `ChannelClosed`."""
        await self._writable.wait()
        if self._over.is_set() or self._transport.is_closing():
            raise ChannelClosed(self._reason)
        if message == EOF:
            self._transport.write(_HEAD.pack(_EOF, 0))
        elif isinstance(message, str):
            text = message.encode()
            self._transport.write(_HEAD.pack(_TEXT, len(text)) + text)
        elif message:
            self._transport.writelines((_HEAD.pack(_DATA, len(message)), message))

    async def receive(self) -> bytes | str:
        """What has arrived before the end can still be received. Raises `ChannelClosed`."""
        while not self._arrived:
            if self._over.is_set():
                raise ChannelClosed(self._reason)
            self._news.clear()
            await self._news.wait()
        message = self._arrived.popleft()
        self._size -= len(message)
        if self._paused and self._size < MOST_ARRIVED_BYTES // 2:
            self._paused = False
            self._transport.resume_reading()
        return message

    async def close(self, reason: str = "") -> None:
        """What was sent still goes out, for as long as the other side takes it in time."""
        self._reason = self._reason or reason
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._over.wait()
        except TimeoutError:
            self._transport.abort()

    async def gone(self) -> None:
        """Returns when the connection is over."""
        await self._over.wait()

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                self._put_piece(piece)
                continue
            missing = _HEAD.size - len(self._head)
            self._head += data[at : at + missing]
            at += missing
            if len(self._head) == _HEAD.size:
                kind, self._left = _HEAD.unpack(self._head)
                self._head = b""
                self._began(kind)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def lost(self, error: Exception | None) -> None:
        self._reason = self._reason or str(error or "the connection was closed")
        self._over.set()
        self._writable.set()
        self._news.set()

    def _began(self, kind: int) -> None:
        if kind == _EOF:
            self._put(EOF)
        elif kind == _TEXT and self.kept and 0 < self._left <= MOST_TEXT_BYTES:
            self._text = bytearray()
        elif kind != _DATA:
            self._reason = f"a frame of unknown kind {kind}"
            self._transport.abort()

    def _put_piece(self, piece: bytes) -> None:
        if self._text is None:
            self._put(piece)
            return
        self._text += piece
        if not self._left:
            text, self._text = bytes(self._text), None
            self._put(text.decode("utf-8", "replace"))

    def _put(self, message: bytes | str) -> None:
        self._arrived.append(message)
        self._size += len(message)
        self._news.set()
        if self._size > MOST_ARRIVED_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
