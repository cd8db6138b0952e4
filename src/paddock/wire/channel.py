"""Connections between server and agent as both ends see them, so that the simulator can put its own in between."""

from __future__ import annotations

from typing import Protocol

EOF = "eof"
"""The text message of a stream that says: no more bytes this way."""


class ChannelClosed(Exception):
    """The other end is gone, or the connection is. `reason` is for people."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Channel(Protocol):
    """A control connection: whole messages, in order, at most once. `send` waits while the peer is slow."""

    async def send(self, message: bytes) -> None:
        """Raises `ChannelClosed`."""
        ...

    async def receive(self) -> bytes:
        """Raises `ChannelClosed`."""
        ...

    async def close(self, reason: str = "") -> None: ...


class StreamChannel(Protocol):
    """A stream's connection: bytes are its content, text is `EOF` or about the stream that follows.

    `kept`: once both ways have ended, it can carry another (see `paddock.wire.raw_stream`).
    """

    kept: bool

    async def send(self, message: bytes | str) -> None:
        """Raises `ChannelClosed`."""
        ...

    async def receive(self) -> bytes | str:
        """Raises `ChannelClosed`."""
        ...

    async def close(self, reason: str = "") -> None: ...

    async def gone(self) -> None:
        """Returns when the connection is over."""
        ...
