"""Connections of Docker clients: one after the other their requests, until either side ends it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from paddock.gateway.client import Client, problem
from paddock.gateway.cluster import Caller
from paddock.gateway.gateway import Gateway
from paddock.gateway.head import parse_request
from paddock.gateway.problems import BadMessage
from paddock.gateway.source import READ_BYTES, Source
from paddock.model.errors import PaddockError, Refused

IDLE_TIMEOUT_S = 600.0
HEAD_TIMEOUT_S = 20.0
"""From a head's first byte to its last."""
LINGER_TIMEOUT_S = 2.0
LINGER_BYTES = 32 * 2**20
CLOSE_TIMEOUT_S = 2.0
MOST_CONNECTIONS = 4096
WRITE_BUFFER_BYTES = 256 * 1024
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Listener:
    """Serves connections that others accept. `close` ends those that are open."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MOST_CONNECTIONS:
            writer.write(_TOO_MANY)
            writer.close()
            return
        self._open[task] = writer
        try:
            await self._requests(reader, writer, caller)
        except OSError:
            self._gateway.cluster.world.probe("a docker client's connection broke")
        except Exception as error:
            # The gateway's boundary: one connection that fails must not take others with it.
            self._gateway.cluster.world.log.exception("docker connection failed", error=repr(error))
        finally:
            del self._open[task]
            await _closed(writer)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller) -> None:
        _tune(writer)
        source = Source(reader)
        client = Client(writer, self._gateway.headers(caller))
        while not client.closing:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    if not await source.waiting():
                        return
                data = await _head(source)
                if data is None:
                    return
                head = parse_request(data)
            except TimeoutError:
                return
            except BadMessage as error:
                client.begin_request(closing=True)
                await client.answer(problem(error.status, error.message))
                await _linger(client, source)
                return
            client.begin_request(closing=not head.keep_alive, chunks=head.chunks)
            client.common = self._gateway.headers(caller)
            call = await self._gateway.answer(caller, head, client, source)
            if not call.body.done:
                await _linger(client, source)

    async def close(self) -> None:
        """Every connection ends now."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)


async def _head(source: Source) -> bytes | None:
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            return await source.head()
    except TimeoutError:
        raise BadMessage(f"the request's head did not come to its end within {HEAD_TIMEOUT_S:.0f} s", 408) from None


async def _linger(client: Client, source: Source) -> None:
    """A client that still sends hears its answer before the connection goes: a reset would take it away."""
    client.half_close()
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(LINGER_TIMEOUT_S):
            left = LINGER_BYTES
            while left > 0 and (data := await source.some()):
                left -= len(data)


def _tune(writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


@asynccontextmanager
async def unix_listener(listener: Listener, path: Path, who: Callable[[], Caller]) -> AsyncIterator[None]:
    """The socket belongs to its owner alone (0600). One left by a process that died is replaced."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            caller = who()
        except PaddockError:
            writer.close()
            return
        await listener.serve(reader, writer, caller)

    listening = _bound(path)
    server = await asyncio.start_unix_server(serve, sock=listening, limit=READ_BYTES, backlog=1024)
    try:
        yield
    finally:
        server.close()
        await listener.close()
        os.unlink(path)


def _bound(path: Path) -> socket.socket:
    if path.exists() and _answers(path):
        raise Refused(f"{path} is in use by another process", hint="is another server running on this data?")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listening.bind(str(path))
    except OSError as error:
        listening.close()
        raise Refused(f"{path} cannot be listened on: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except OSError:
            return False
        return True
