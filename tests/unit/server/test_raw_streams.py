"""Server and agent agree on frames of their own, and on a WebSocket where one of them does not know these."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from paddock.agent.websocket import ServerStream
from paddock.server.agents_port import STREAM_SETTINGS
from paddock.wire.channel import EOF, ChannelClosed
from paddock.wire.raw_stream import KEPT, RAW, RawStream
from paddock.wire.websocket import stream_over

BYTES = bytes(range(256)) * 4096
Scene = Callable[[ClientConnection], Awaitable[None]]


async def echo(connection: ServerConnection) -> None:
    """Speaks first, gives back what comes, and closes."""
    tunnel = stream_over(connection)
    await tunnel.send(b"first")
    while (message := await tunnel.receive()) != EOF:
        await tunnel.send(message)
    await tunnel.send(EOF)
    await tunnel.close()


def talk(*, old_server: bool, old_agent: bool, scene: Scene, offering: tuple[str, ...] = (KEPT, RAW)) -> None:
    async def main() -> None:
        settings = {} if old_server else STREAM_SETTINGS
        offered = (
            {}
            if old_agent
            else {
                "subprotocols": [Subprotocol(one) for one in offering],
                "create_connection": ServerStream,
            }
        )
        async with asyncio.timeout(20), serve(echo, "127.0.0.1", 0, compression=None, **settings) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await connect(f"ws://127.0.0.1:{port}/", compression=None, **offered)  # type: ignore[arg-type]
            try:
                await scene(connection)
            finally:
                connection.transport.abort()

    asyncio.run(main())


@pytest.mark.parametrize("offering", [(KEPT, RAW), (RAW,)])
def test_both_of_today_leave_the_websocket_behind(offering: tuple[str, ...]) -> None:
    async def scene(connection: ClientConnection) -> None:
        assert isinstance(connection, ServerStream)
        assert isinstance(connection.raw, RawStream)
        raw = connection.raw
        assert raw.kept == (KEPT in offering)
        assert await raw.receive() == b"first"
        sending = asyncio.ensure_future(raw.send(BYTES))
        back = b""
        while len(back) < len(BYTES):
            message = await raw.receive()
            assert isinstance(message, bytes)
            back += message
        await sending
        assert back == BYTES
        await raw.send(EOF)
        assert await raw.receive() == EOF
        with pytest.raises(ChannelClosed):
            await raw.receive()

    talk(old_server=False, old_agent=False, scene=scene, offering=offering)


def test_text_comes_whole_in_its_place() -> None:
    async def scene(connection: ClientConnection) -> None:
        assert isinstance(connection, ServerStream)
        assert connection.raw is not None
        assert await connection.raw.receive() == b"first"
        for message in (b"before", "text" * 50_000, b"behind"):
            await connection.raw.send(message)
            assert await connection.raw.receive() == message

    talk(old_server=False, old_agent=False, scene=scene)


@pytest.mark.parametrize(("old_server", "old_agent"), [(True, False), (False, True), (True, True)])
def test_one_of_before_gets_its_websocket(old_server: bool, old_agent: bool) -> None:
    async def scene(connection: ClientConnection) -> None:
        assert getattr(connection, "raw", None) is None
        assert await connection.recv() == b"first"
        await connection.send(BYTES)
        assert await connection.recv() == BYTES
        await connection.send(EOF)
        assert await connection.recv() == EOF

    talk(old_server=old_server, old_agent=old_agent, scene=scene)
