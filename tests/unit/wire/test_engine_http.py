"""The engine client against sockets that answer as engines do, late, cut and wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_errors import (
    EngineBadRequest,
    EngineConflict,
    EngineError,
    EngineFault,
    EngineNotFound,
    EngineUnreachable,
)
from paddock.wire.engine_http import EngineHttp

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


class Engine:
    """Every dial is a socket pair; `script` plays the other end, after the ping of the negotiation."""

    def __init__(self, script: Script, api: bytes = b"1.41") -> None:
        self.script = script
        self.api = api
        self.dials = 0
        self.heads: list[bytes] = []
        self._group: asyncio.TaskGroup | None = None

    async def dial(self) -> ByteStream:
        ours, theirs = socket.socketpair()
        assert self._group is not None
        self.dials += 1
        self._group.create_task(self._play(theirs))
        return await asyncio.open_connection(sock=ours)

    async def _play(self, end: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=end)
        try:
            await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/_ping " in head:
                writer.write(PING.replace(b"1.41", self.api))
                continue
            self.heads.append(head)
            await self.script(reader, writer)

    def run(self, work: Callable[[EngineHttp], Awaitable[None]]) -> None:
        async def begin() -> None:
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                self._group = group
                http = EngineHttp(self.dial)
                try:
                    await work(http)
                finally:
                    await http.close()

        asyncio.run(begin())


def answers(data: bytes, *, close: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return script


def response(status: str, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), headers, len(body), body)


@pytest.mark.parametrize(("offered", "used"), [(b"1.41", (1, 41)), (b"1.45", (1, 45)), (b"1.99", (1, 45))])
def test_the_highest_version_both_know_is_used(offered: bytes, used: tuple[int, int]) -> None:
    engine = Engine(answers(response("200 OK", b"{}")), offered)

    async def work(http: EngineHttp) -> None:
        await http.json("GET", "/info")
        assert http.api == used

    engine.run(work)
    assert engine.heads[0].startswith(b"GET /v1.%d/info HTTP/1.1\r\n" % used[1])


def test_an_engine_too_old_is_refused() -> None:
    engine = Engine(answers(b""), b"1.24")

    async def work(http: EngineHttp) -> None:
        with pytest.raises(EngineError, match=r"speaks API 1\.24; Paddock needs 1\.40"):
            await http.json("GET", "/info")

    engine.run(work)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, EngineBadRequest), (404, EngineNotFound), (409, EngineConflict), (500, EngineFault), (503, EngineFault)],
)
def test_errors_carry_status_and_the_engines_words(status: int, kind: type[EngineError]) -> None:
    engine = Engine(answers(response(f"{status} X", b'{"message":"No such thing"}')))

    async def work(http: EngineHttp) -> None:
        with pytest.raises(kind) as caught:
            await http.json("GET", "/containers/x/json")
        assert (caught.value.status, caught.value.message) == (status, "No such thing")
        with pytest.raises(kind):
            await http.json("GET", "/containers/x/json")

    engine.run(work)
    assert engine.dials == 1, "the connection is kept after an error"


def test_queries_and_bodies_are_encoded() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(7) == b'{"A":1}'
        writer.write(response("201 Created", b'{"Id":"x"}'))

    engine = Engine(script)

    async def work(http: EngineHttp) -> None:
        made = await http.json("POST", "/containers/create", query={"name": "a b&c", "v": True}, body={"A": 1})
        assert made == {"Id": "x"}

    engine.run(work)
    head = engine.heads[0]
    assert head.startswith(b"POST /v1.41/containers/create?name=a+b%26c&v=1 ")
    assert b"Content-Type: application/json\r\n" in head


def test_a_dead_idle_connection_is_not_used_again() -> None:
    engine = Engine(answers(response("200 OK", b"{}"), close=True))

    async def work(http: EngineHttp) -> None:
        await http.json("GET", "/info")
        reader = http._idle[-1].reader if http._idle else None
        async with asyncio.timeout(5):
            while reader is not None and not reader.at_eof():
                await asyncio.sleep(0)
        await http.json("GET", "/info")

    engine.run(work)
    assert engine.dials == 2


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\nConte", response("200 OK", b'{"a":1}')[:-3], b"rubbish\r\n\r\n"]
)
def test_a_connection_that_breaks_is_no_answer(cut: bytes) -> None:
    engine = Engine(answers(cut, close=True))

    async def work(http: EngineHttp) -> None:
        with pytest.raises(EngineUnreachable):
            await http.json("GET", "/info")

    engine.run(work)


def test_silence_is_no_answer() -> None:
    engine = Engine(answers(b""))

    async def work(http: EngineHttp) -> None:
        with pytest.raises(EngineUnreachable, match="no answer in time"):
            await http.json("GET", "/info", timeout_s=0.05)
        with pytest.raises(EngineUnreachable, match="no answer in time"):
            async with http.stream("GET", "/events", idle_timeout_s=0.05):
                raise AssertionError("there is no head")

    engine.run(work)


def test_nobody_listens() -> None:
    async def refused() -> ByteStream:
        raise ConnectionRefusedError(111, "Connection refused")

    async def work() -> None:
        with pytest.raises(EngineUnreachable, match=r"connecting to h7: .*Connection refused"):
            await EngineHttp(refused, where="h7").json("GET", "/info")

    asyncio.run(work())


def test_streams_come_as_they_are_sent_and_a_cut_one_shows() -> None:
    gate = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b'9\r\n{"n":1}\n{\r\n')
        await gate.wait()
        writer.write(b'7\r\n"n":2}\n\r\n')
        writer.close()

    engine = Engine(script)

    async def work(http: EngineHttp) -> None:
        found = []

        async def follow() -> None:
            async with http.stream("GET", "/events") as answer:
                async for line in answer.json_lines():
                    found.append(line)
                    gate.set()

        with pytest.raises(EngineUnreachable):
            await follow()
        assert found == [{"n": 1}, {"n": 2}]

    engine.run(work)


def test_uploads_are_chunked() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        writer.write(response("200 OK"))

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"de"

    engine = Engine(script)

    async def work(http: EngineHttp) -> None:
        assert (await http.call("PUT", "/containers/x/archive", query={"path": "/"}, body=body())).status == 200

    engine.run(work)


@pytest.mark.parametrize(
    ("protocol", "head"),
    [
        ("tcp", b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"),
        (None, b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"),
    ],
)
def test_a_hijacked_connection_is_raw_and_half_closes(protocol: str | None, head: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(b'{"Tty":true}'))
        writer.write(head + b"early")
        assert await reader.read() == b"from us"
        writer.write(b", late")
        writer.close()

    engine = Engine(script)

    async def work(http: EngineHttp) -> None:
        hijacked = await http.upgrade("POST", "/exec/x/start", body={"Tty": True}, protocol=protocol)
        await hijacked.write(b"from us")
        hijacked.half_close()
        assert b"".join([chunk async for chunk in hijacked.chunks()]) == b"early, late"
        await hijacked.close()

    engine.run(work)
    assert (b"Upgrade: tcp" in engine.heads[0]) == (protocol is not None)


def test_an_upgrade_that_is_refused_says_why() -> None:
    engine = Engine(answers(response("404 Not Found", b'{"message":"No such exec instance: x"}')))

    async def work(http: EngineHttp) -> None:
        with pytest.raises(EngineNotFound, match="No such exec"):
            await http.upgrade("POST", "/exec/x/start", body={})

    engine.run(work)
