"""HTTP/1.1 as our client reads it, over a real socket: framings, keeping alive, and what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from paddock.client.http1 import BadAnswer, HttpConnection, Request
from paddock.model.errors import UserError

ASKED = Request("GET", "/v1/ping", [("Host", "server:7443")])
MOST = 1000


def talk(answers: list[bytes], scene: Callable[[HttpConnection], Awaitable[None]]) -> None:
    """Each request is answered with the next of `answers`, byte by byte; then the connection ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            for at in range(len(answer)):
                writer.write(answer[at : at + 1])
                await writer.drain()
        writer.close()

    async def main() -> None:
        async with asyncio.timeout(10), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            connection = HttpConnection(*await asyncio.open_connection(*server.sockets[0].getsockname()))
            try:
                await scene(connection)
            finally:
                connection.drop()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "status", "body", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\nA\r\n0123456789\r\n0\r\n\r\n", 200,
         b"hi0123456789", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: t\r\n\r\n", 200, b"x", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\nuntil the end", 404, b"until the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True),
    ],
)  # fmt: skip
def test_every_framing_is_read(answer: bytes, status: int, body: bytes, reusable: bool) -> None:
    async def scene(connection: HttpConnection) -> None:
        assert await connection.request(ASKED) == status
        assert await connection.body(MOST) == body
        assert connection.reusable == reusable

    talk([answer], scene)


def test_a_kept_connection_answers_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

    async def scene(connection: HttpConnection) -> None:
        for _ in range(2):
            assert await connection.request(ASKED, b"") == 200
            assert await connection.body(MOST) == b"hi"

    talk([answer, answer], scene)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 fine\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
    ],
)
def test_what_is_no_whole_answer_is_refused(answer: bytes) -> None:
    async def scene(connection: HttpConnection) -> None:
        async def ask() -> None:
            await connection.request(ASKED)
            await connection.body(MOST)

        with pytest.raises(BadAnswer):
            await ask()
        assert not connection.reusable

    talk([answer], scene)


def test_a_key_cannot_become_another_header() -> None:
    asked = Request("GET", "/", [("Authorization", "Bearer x\r\nX-Evil: 1")])
    with pytest.raises(UserError, match="Authorization"):
        asked.encode()
