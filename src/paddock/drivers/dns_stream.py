"""DNS over TCP: length-prefixed messages on a connection that may not dawdle (RFC 7766)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

IDLE_TIMEOUT_S = 10.0
MOST_CONNECTIONS = 128
MOST_UNSENT_BYTES = 1 << 18

Handle = Callable[[bytes, str, Callable[[bytes], None]], None]
"""(message, address of the asker, reply)"""


class DnsStream(asyncio.Protocol):
    """One connection. `open_streams` is shared by all listeners and bounds how many there are."""

    def __init__(self, handle: Handle, open_streams: set[DnsStream]) -> None:
        self._handle = handle
        self._open = open_streams
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._source = ""
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if len(self._open) >= MOST_CONNECTIONS or not peer:
            self.abort()
            return
        self._source = peer[0]
        self._open.add(self)
        self._rest()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._rest()
        while len(self._received) >= 2:
            length = int.from_bytes(self._received[:2])
            if len(self._received) < 2 + length or self._transport is None:
                return
            message, self._received = self._received[2 : 2 + length], self._received[2 + length :]
            self._handle(message, self._source, self._reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._open.discard(self)
        if self._idle is not None:
            self._idle.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _reply(self, message: bytes) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.abort()
            return
        self._transport.write(len(message).to_bytes(2) + message)

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_TIMEOUT_S, self.abort)
