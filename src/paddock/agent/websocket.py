"""Connections to the server: WebSockets over mutual TLS, dialled out."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from paddock.model.errors import Transient
from paddock.wire.channel import ChannelClosed
from paddock.wire.raw_stream import KEPT, RawStream
from paddock.wire.websocket import (
    CLOSE_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    QUEUED_MESSAGES,
    SPOKEN,
    RawConnection,
    WebSocketChannel,
    WebSocketStream,
    stream_over,
)

MOST_MESSAGE_BYTES = 64 * 2**20
MOST_ANSWER_BYTES = 64 * 1024


class Dialler:
    """`place` is the server's address and its port for agents; `ended` says what to do once `tls` cannot be used."""

    def __init__(self, place: tuple[str, int], tls: ssl.SSLContext, ended: Callable[[], str] = str) -> None:
        host, port = place
        self._origin = f"wss://[{host}]:{port}" if ":" in host else f"wss://{host}:{port}"
        self._tls = tls
        self._ended = ended

    async def session(self) -> WebSocketChannel:
        """Raises `Transient`."""
        return WebSocketChannel(await self._connect("/session"))

    async def stream(self, stream: str) -> RawStream | WebSocketStream:
        """Raises `ChannelClosed`."""
        try:
            return stream_over(await self._connect(f"/streams/{stream}", SPOKEN))
        except Transient as error:
            raise ChannelClosed(error.message) from error

    async def _connect(self, path: str, subprotocols: Sequence[Subprotocol] = ()) -> ClientConnection:
        """No pings: sessions have heartbeats of their own, and a stream whose reader is slow answers none."""
        try:
            return await connect(
                self._origin + path,
                ssl=self._tls,
                compression=None,
                max_size=MOST_MESSAGE_BYTES,
                max_queue=QUEUED_MESSAGES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                proxy=None,
                user_agent_header=None,
                subprotocols=subprotocols or None,
                create_connection=ServerStream if subprotocols else None,
            )
        except ssl.SSLCertVerificationError as error:
            raise Transient(
                f"{self._origin} shows a certificate that does not hold: {error.verify_message}",
                hint="is it the server this host joined, and is this host's clock right?",
            ) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, EOFError) as error:
            raise Transient(
                f"{self._origin} cannot be reached: {error or type(error).__name__}", hint=self._ended()
            ) from error


class ServerStream(RawConnection, ClientConnection):
    """Takes the server's answer to its handshake by itself: the first bytes of the stream may follow at once."""

    _answer: bytes | None = b""
    """As far as it has come; None once it is over."""

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            super().data_received(data)
            return
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end and len(self._answer) < MOST_ANSWER_BYTES:
            return
        self._answer = None
        super().data_received(head + end)
        if self.protocol.handshake_exc is None and self.protocol.subprotocol in SPOKEN:
            self.go_raw(kept=self.protocol.subprotocol == KEPT)
        if rest:
            super().data_received(rest)
