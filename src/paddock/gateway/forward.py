"""A request passed on to one host's engine as a byte stream, untouched wherever possible.

Facts learnt from clients: answers that stream have their heads flushed at once (`docker run` waits for that of `wait`),
a client's half-close reaches the engine and the other way round, and the head of a hijacked connection is a segment of
its own, since some clients read the first bytes behind it into the wrong buffer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import quote, urlencode

import msgspec

from paddock.gateway.body import Body
from paddock.gateway.call import Call
from paddock.gateway.head import Headers, ResponseHead, encode, parse_response, response_framing
from paddock.gateway.hosts import api_text
from paddock.gateway.problems import ApiProblem, BadMessage
from paddock.gateway.source import Source
from paddock.model.errors import PaddockError, Transient
from paddock.model.objects import HostId
from paddock.wire.engine_connection import ByteStream

AFTER_HEAD_S = 0.005
"""A moment for the client between the head of a hijacked connection and its first bytes."""
DIAL_TIMEOUT_S = 60.0
"""With the wait behind others that are opened to the same host."""
LAST_CHUNK = b"0\r\n\r\n"
_FRAMING = ("transfer-encoding", "content-length")
BROKEN = (ConnectionError, OSError, EOFError)


class Overheard(Protocol):
    def feed(self, data: bytes) -> None: ...

    async def end(self) -> None: ...


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the client's own request. `path` None: the same; `body` None: the client's, as it comes.

    `hijack`: the connection leaves HTTP when the engine agrees. `more`: headers to add to the engine's answer.
    """

    host: HostId
    path: str | None = None
    query: dict[str, list[str]] | None = None
    body: bytes | None = None
    hijack: bool = False
    versioned: bool = True
    more: tuple[tuple[str, str], ...] = ()
    instead: tuple[tuple[str, str], ...] = ()
    """Headers of the request that take the place of the client's."""
    finish: Callable[[], Awaitable[None]] | None = None
    """Done after a good answer's last byte and before its end, so that a client that waits for the end sees it."""
    passing: Callable[[bytes], Awaitable[None]] | None = None
    """Sees what the client sends on a hijacked connection; it goes on when this has returned."""
    in_place: bytes | None = None
    """The content of an answer whose own never came, because its host is gone."""
    overheard: Overheard | None = None
    """Gets the content of the client's body; the end of it is held back until `end` has returned."""


async def forward(call: Call, asked: Asked) -> int:
    """-> the engine's status. The answer has been passed on."""
    async with _dialled(call, asked.host) as (reader, writer):
        failure: PaddockError | OSError | None = None
        status = 0
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_send(call, asked, writer))
            others = [sending]
            try:
                async with asyncio.timeout(None) as gone:
                    if not asked.hijack:
                        others.append(tasks.create_task(_watch(call, sending, gone)))
                    status = await _answer(call, asked, Source(reader), writer, sending)
            except (PaddockError, OSError) as error:
                failure = error
            finally:
                for task in others:
                    task.cancel()
        if failure is not None:
            raise failure
        if not call.body.done:
            call.client.closing = True
        return status


@asynccontextmanager
async def _dialled(call: Call, host: HostId) -> AsyncIterator[ByteStream]:
    try:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            reader, writer = await call.cluster.dial(host)
    except (TimeoutError, OSError) as error:
        raise Transient(f"host {host} cannot be reached: {error or 'no answer in time'}") from error
    try:
        yield reader, writer
    finally:
        writer.close()


def engine_head(call: Call, asked: Asked) -> bytes:
    """Host and connection headers are per hop; of the rest the engine gets what the client said."""
    path = quote(asked.path if asked.path is not None else call.path, safe="/:@!$&'()*+,;=~")
    query = call.head.target.partition("?")[2]
    if asked.query is not None:
        query = urlencode(asked.query, doseq=True)
    target = (f"/v{api_text(call.api)}" if asked.versioned else "") + path + (f"?{query}" if query else "")
    headers = [("Host", "docker"), *_end_to_end(call.head.headers, body=asked.body is None)]
    if asked.body is not None:
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(asked.body)))]
    replaced = [name.lower() for name, _ in asked.instead]
    headers = [*((name, value) for name, value in headers if name.lower() not in replaced), *asked.instead]
    if asked.overheard is not None:
        headers = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
        headers.append(("Transfer-Encoding", "chunked"))
    if asked.hijack and (upgrade := call.head.header("upgrade")):
        headers += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
    elif not asked.hijack:
        headers.append(("Connection", "close"))
    return encode(f"{call.head.method} {target} HTTP/1.1", headers)


def _end_to_end(headers: Headers, *, body: bool) -> list[tuple[str, str]]:
    left_out = ["host", "connection", "upgrade", "keep-alive", "proxy-connection", "te", "expect"]
    if not body:
        left_out += ["content-length", "transfer-encoding", "content-type"]
    return [(name, value) for name, value in headers if name.lower() not in left_out]


async def _send(call: Call, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """The request and its body. An engine that stops reading has answered already: that answer is what counts."""
    try:
        writer.write(engine_head(call, asked))
        await writer.drain()
        if asked.body is not None:
            writer.write(asked.body)
            await writer.drain()
            return
        if asked.overheard is not None:
            await _send_overheard(call, asked.overheard, writer)
            return
        async for piece in call.body.raw():
            writer.write(piece)
            await writer.drain()
    except BROKEN:
        return
    except ApiProblem:
        writer.transport.abort()


async def _send_overheard(call: Call, overheard: Overheard, writer: asyncio.StreamWriter) -> None:
    async for piece in call.body.content():
        overheard.feed(piece)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    await overheard.end()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _watch(call: Call, sending: asyncio.Task[None], gone: asyncio.Timeout) -> None:
    """A client that goes away while it waits ends the engine's work for it."""
    await asyncio.wait([sending])
    try:
        data = await call.source.some()
    except BROKEN:
        data = b""
    if data:
        call.source.give_back(data)
    else:
        gone.reschedule(asyncio.get_running_loop().time())


async def _answer(
    call: Call, asked: Asked, source: Source, writer: asyncio.StreamWriter, sending: asyncio.Task[None]
) -> int:
    try:
        data = await source.head()
    except BROKEN as error:
        raise Transient(f"the connection to host {asked.host} broke: {error}") from error
    if data is None:
        raise Transient(f"host {asked.host} ended the connection without an answer")
    head = parse_response(data)
    if head.status == 101 or (asked.hijack and head.status == 200):
        await _hijacked(call, asked, head, (source, writer), sending)
        return head.status
    framing = response_framing(call.head.method, head)
    finishing = (asked.finish or asked.in_place) and head.status < 300 and framing.kind != "length"
    if finishing or (framing.kind == "chunked" and not call.client.chunks):
        await _reframed(call, asked, head, Body(source, framing))
        return head.status
    if framing.kind == "end":
        call.client.closing = True
    await call.client.write(encode(head.line, _passed_on(call, asked, head)))
    closes = framing.kind == "chunked" and not asked.hijack
    pieces = _until_end(source) if closes else Body(source, framing).raw()
    try:
        async for piece in pieces:
            await call.client.write(piece)
    except ApiProblem as error:
        call.client.closing = True
        raise ConnectionResetError(f"the answer of host {asked.host} broke off: {error}") from error
    return head.status


async def _until_end(source: Source) -> AsyncIterator[bytes]:
    """A chunked body, as it is: the engine was told to close behind it, so nobody has to look for its end.

    Logs come with a chunk for every line, which is slow to follow. Engines send no trailers.
    """
    last = b""
    while data := await source.some():
        last = (last + data)[-len(LAST_CHUNK) :] if len(data) < len(LAST_CHUNK) else data[-len(LAST_CHUNK) :]
        yield data
    if last != LAST_CHUNK:
        raise BadMessage("the connection ended inside a body")


async def _reframed(call: Call, asked: Asked, head: ResponseHead, body: Body) -> None:
    """Piece by piece as it comes, with an end of our own."""
    framing = call.client.streaming()
    headers = [(name, value) for name, value in _passed_on(call, asked, head) if name.lower() not in _FRAMING]
    await call.client.write(encode(head.line, [*headers, *framing]))
    said = False
    try:
        async for piece in body.content():
            await call.client.chunk(piece)
            said = True
    except (ApiProblem, OSError) as error:
        if said or asked.in_place is None:
            call.client.closing = True
            raise ConnectionResetError(f"the answer of host {asked.host} broke off: {error}") from error
    if not said and asked.in_place is not None and head.status < 300:
        await call.client.chunk(asked.in_place)
    if asked.finish is not None and head.status < 300:
        await asked.finish()
    await call.client.end()


def _passed_on(call: Call, asked: Asked, head: ResponseHead) -> list[tuple[str, str]]:
    own = ("connection", "keep-alive", "api-version")
    headers = [(name, value) for name, value in head.headers if name.lower() not in own]
    headers += [("Api-Version", api_text(call.gateway.hosts.newest_api(call.environment))), *asked.more]
    return headers + ([("Connection", "close")] if call.client.closing else [])


async def _hijacked(
    call: Call, asked: Asked, head: ResponseHead, ours: tuple[Source, asyncio.StreamWriter], sending: asyncio.Task[None]
) -> None:
    """Raw bytes both ways until the engine's end; the client's end is passed on and ends nothing by itself."""
    source, writer = ours
    call.client.closing = True
    await call.client.write(encode(head.line, head.headers))
    await asyncio.sleep(AFTER_HEAD_S)
    async with asyncio.TaskGroup() as tasks:
        upwards = tasks.create_task(_upwards(call, asked, writer, sending))
        try:
            while data := await source.some():
                await call.client.write(data)
            call.client.half_close()
        except BROKEN:
            call.cluster.world.probe("a hijacked connection broke")
        finally:
            upwards.cancel()


async def _upwards(call: Call, asked: Asked, writer: asyncio.StreamWriter, sending: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait([sending])
        while data := await call.source.some():
            if asked.passing is not None:
                await asked.passing(data)
            writer.write(data)
            await writer.drain()
        if call.client.gone():
            writer.close()
        elif writer.can_write_eof():
            writer.write_eof()
    except BROKEN:
        writer.close()
