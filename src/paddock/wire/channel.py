"""A control connection as both ends see it, so that the simulator can put its own in between."""

from __future__ import annotations

from typing import Protocol


class ChannelClosed(Exception):
    """The other end is gone, or the connection is. `reason` is for people."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Channel(Protocol):
    """Whole messages, in order, at most once. `send` waits while the peer is slow (back-pressure)."""

    async def send(self, message: bytes) -> None:
        """Raises `ChannelClosed`."""
        ...

    async def receive(self) -> bytes:
        """Raises `ChannelClosed`."""
        ...

    async def close(self, reason: str = "") -> None: ...
