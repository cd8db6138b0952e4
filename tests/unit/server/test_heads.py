"""Requests whose heads trickle in, on a real server."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from paddock.server.http import heads
from paddock.server.main import Running
from serving import DEADLINE_S, config_in, running_server

BETWEEN_BYTES_S = 0.02
TIMEOUT_S = 0.3


async def connected(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = ssl.create_default_context(cadata=running.ca)
    return await asyncio.open_connection("127.0.0.1", running.api_port, ssl=tls)


async def trickled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> bytes:
    """Sends `head` byte by byte until something comes back; all of what comes back until the server closes."""
    for at in range(len(head)):
        writer.write(head[at : at + 1])
        try:
            async with asyncio.timeout(BETWEEN_BYTES_S):
                first = await reader.read(1)
        except TimeoutError:
            continue
        async with asyncio.timeout(DEADLINE_S):
            return first + await reader.read()
    return b""


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_TIMEOUT_S", TIMEOUT_S)


def test_a_head_that_trickles_in_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_server(config_in(tmp_path)) as running:
            reader, writer = await connected(running)
            answer = await trickled(reader, writer, b"GET /v1/ping HTTP/1.1\r\nX-Slow: " + b"x" * 2000)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"did not come in time" in answer
            writer.close()

    asyncio.run(run())


def test_a_connection_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_server(config_in(tmp_path)) as running:
            reader, writer = await connected(running)
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            writer.close()

    asyncio.run(run())


def test_a_later_request_on_a_connection_is_bounded_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_server(config_in(tmp_path)) as running:
            reader, writer = await connected(running)
            writer.write(b"GET /v1/ping HTTP/1.1\r\nHost: there\r\n\r\n")
            async with asyncio.timeout(DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200 ")
            answer = await trickled(reader, writer, b"GET /v1/ping HTTP/1.1\r\nX-Slow: " + b"x" * 2000)
            assert answer.startswith(b"HTTP/1.1 408 ")
            writer.close()

    asyncio.run(run())


def test_a_body_may_take_longer_than_a_head(tmp_path: Path) -> None:
    """And a connection at rest between requests is not cut by the bound on heads."""

    async def run() -> None:
        async with running_server(config_in(tmp_path)) as running:
            reader, writer = await connected(running)
            body = b'{"secret": "none", "csr": "", "name": "h1"}'.ljust(40 * int(TIMEOUT_S / BETWEEN_BYTES_S))
            head = f"POST /v1/join HTTP/1.1\r\nHost: there\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n")
            step = len(body) // 30
            for at in range(0, len(body), step):
                writer.write(body[at : at + step])
                if at + step < len(body):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(BETWEEN_BYTES_S):
                            await reader.read(1)
            async with asyncio.timeout(DEADLINE_S):
                answer = await reader.read()
            assert b" 408 " not in answer.split(b"\r\n")[0]
            assert answer.startswith(b"HTTP/1.1 4")
            writer.close()

    asyncio.run(run())
