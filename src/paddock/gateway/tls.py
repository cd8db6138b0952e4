"""TLS in front of the gateway, with half-close: `docker run -i` ends its input and still wants the output.

asyncio's own TLS ends a connection as soon as the peer has said that it sends no more. So the bytes go through OpenSSL
in memory here, and the plain ones through a socket pair, whose two ways end one by one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from paddock.gateway.cluster import Caller
from paddock.gateway.listener import MOST_CONNECTIONS, Listener
from paddock.gateway.source import READ_BYTES
from paddock.model.errors import PaddockError
from paddock.world.world import World

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
Identify = Callable[[bytes], Caller]
"""Who holds a client certificate (DER). Raises `PaddockError` for one that may not come in."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TlsDoor:
    """Takes connections in, asks who it is, and hands them to the listener as plain ones."""

    def __init__(self, listener: Listener, context: ssl.SSLContext, identify: Identify, world: World) -> None:
        self._listener = listener
        self._context = context
        self._identify = identify
        self._world = world
        self._open: dict[asyncio.Task[None], None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._open[task] = None
        try:
            await self._serve(_Tls(self._context, reader, writer))
        except (OSError, PaddockError) as error:
            self._world.log.info("docker client refused", reason=str(error) or type(error).__name__)
        finally:
            del self._open[task]
            writer.close()

    async def _serve(self, tls: _Tls) -> None:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            certificate = await tls.handshake()
        caller = self._identify(certificate)
        ours, theirs = socket.socketpair()
        near = await asyncio.open_unix_connection(sock=ours, limit=READ_BYTES)
        far = await asyncio.open_unix_connection(sock=theirs, limit=READ_BYTES)
        async with asyncio.TaskGroup() as tasks:
            inwards = tasks.create_task(tls.inwards(near[1]))
            outwards = tasks.create_task(tls.outwards(near[0]))
            handling = tasks.create_task(self._listener.serve(*far, caller))
            await asyncio.wait([outwards])
            await asyncio.wait([handling], timeout=CLOSE_TIMEOUT_S)
            near[1].close()
            inwards.cancel()
            handling.cancel()

    async def close(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)


class _Tls:
    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> bytes:
        """-> the client's certificate."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(READ_BYTES)
                if not data:
                    raise ConnectionResetError("the client went away in the handshake") from None
                self._incoming.write(data)
                continue
            except ssl.SSLError:
                await self._flush()
                raise
            await self._flush()
            certificate = self._object.getpeercert(binary_form=True)
            assert certificate is not None, "the context demands one"
            return certificate

    async def inwards(self, plain: asyncio.StreamWriter) -> None:
        """From the client, until it says that it sends no more."""
        try:
            while True:
                for data in self._decrypted():
                    if not data:
                        plain.write_eof()
                        return
                    plain.write(data)
                await plain.drain()
                await self._flush()
                data = await self._reader.read(READ_BYTES)
                if not data:
                    plain.write_eof()
                    return
                self._incoming.write(data)
        except OSError:
            plain.close()

    def _decrypted(self) -> list[bytes]:
        """What can be read without waiting; b"" as the last when no more will come."""
        found: list[bytes] = []
        while not found or found[-1]:
            try:
                found.append(self._object.read(READ_BYTES))
            except ssl.SSLWantReadError:
                return found
            except ssl.SSLZeroReturnError:
                found.append(b"")
        return found

    async def outwards(self, plain: asyncio.StreamReader) -> None:
        """To the client, until there is no more; then it is told so."""
        try:
            while data := await plain.read(READ_BYTES):
                self._object.write(data)
                await self._flush()
            try:
                self._object.unwrap()
            except ssl.SSLWantReadError:
                await self._flush()
            await self._flush()
        except OSError:
            return

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self._writer.write(data)
            await self._writer.drain()


@asynccontextmanager
async def tls_listener(door: TlsDoor, listening: socket.socket) -> AsyncIterator[None]:
    server = await asyncio.start_server(door.serve, sock=listening, limit=READ_BYTES, backlog=1024)
    try:
        yield
    finally:
        server.close()
        await door.close()
