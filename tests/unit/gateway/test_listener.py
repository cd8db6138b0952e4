"""Clients that take their time, on real connections to the listener; no host is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import paddock.gateway.body as body_module
import paddock.gateway.listener as listener_module
from paddock.gateway.cluster import Caller
from paddock.gateway.gateway import Gateway
from paddock.gateway.listener import Listener
from paddock.main.gateway import PlaneCluster
from paddock.model.objects import EnvironmentId
from paddock.server.plane import DEFAULT_ENVIRONMENT
from paddock.wire.engine_connection import ByteStream
from serving import running_plane

Dial = Callable[[], Awaitable[ByteStream]]


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[Dial]:
    async with asyncio.timeout(20.0), running_plane(folder) as plane:
        home = plane.store.snapshot().environment_named(DEFAULT_ENVIRONMENT)
        assert home is not None
        caller = Caller(environment=EnvironmentId(home.id), name="a test")
        listener = Listener(Gateway(PlaneCluster(plane)))
        clients: list[asyncio.StreamWriter] = []
        async with asyncio.TaskGroup() as serving:

            async def dial() -> ByteStream:
                ours, theirs = socket.socketpair()
                serving.create_task(listener.serve(*await asyncio.open_unix_connection(sock=theirs), caller))
                client = await asyncio.open_unix_connection(sock=ours)
                clients.append(client[1])
                return client

            yield dial
            for client in clients:
                client.close()
                await client.wait_closed()
            await listener.close()


def test_a_head_has_a_deadline_and_a_pause_before_it_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HEAD_TIMEOUT_S", 0.05)

    async def scene() -> None:
        async with listening(tmp_path) as dial:
            patient, slow = await dial(), await dial()
            slow[1].write(b"GET /_ping HTTP/1.1\r\nHo")
            told = await slow[0].read()
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b"within" in told
            patient[1].write(b"GET /_ping HTTP/1.1\r\n\r\n")
            assert (await patient[0].readline()).startswith(b"HTTP/1.1 200 ")

    asyncio.run(scene())


def test_empty_lines_are_no_way_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HEAD_TIMEOUT_S", 0.05)

    async def scene() -> None:
        async with listening(tmp_path) as dial:
            reader, writer = await dial()
            writer.write(b"\r\n" * 1000)
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")

    asyncio.run(scene())


def test_a_body_that_is_read_here_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(body_module, "DISCARD_TIMEOUT_S", 0.05)
    monkeypatch.setattr(listener_module, "LINGER_TIMEOUT_S", 0.05)

    async def scene() -> None:
        async with listening(tmp_path) as dial:
            reader, writer = await dial()
            writer.write(b"POST /containers/create HTTP/1.1\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: 10\r\n\r\n{")
            told = await reader.read()
            assert told.startswith(b"HTTP/1.1 408 ")
            assert b"Connection: close" in told

    asyncio.run(scene())


def test_so_many_connections_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MOST_CONNECTIONS", 2)

    async def scene() -> None:
        async with listening(tmp_path) as dial:
            held = [await dial() for _ in range(2)]
            for _, writer in held:
                writer.write(b"GET /_ping HTTP/1.1\r\n\r\n")
            assert [(await reader.readline())[:13] for reader, _ in held] == [b"HTTP/1.1 200 "] * 2
            reader, _ = await dial()
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")

    asyncio.run(scene())
