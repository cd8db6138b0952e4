"""Heads and bodies as clients send them, cut anywhere, and as nobody should."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.gateway.body import Body, Follower
from paddock.gateway.head import (
    CHUNKED,
    TO_THE_END,
    Framing,
    RequestHead,
    parse_request,
    parse_response,
    response_framing,
)
from paddock.gateway.problems import ApiProblem
from paddock.gateway.source import MOST_HEAD_BYTES, Source


def head(text: str) -> RequestHead:
    return parse_request(text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n")


def source_of(data: bytes) -> Source:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return Source(reader)


def test_a_request_is_read_as_sent() -> None:
    found = head("POST /v1.41/containers/a%20b/attach?stream=1&stdout=1&x= HTTP/1.1\nHost: docker\nContent-Length: 3")
    assert (found.method, found.path, found.keep_alive) == ("POST", "/v1.41/containers/a b/attach", True)
    assert found.query == {"stream": ["1"], "stdout": ["1"], "x": [""]}
    assert found.framing == Framing("length", 3)
    assert found.header("HOST") == "docker"
    assert found.wants("stream")
    assert not found.wants("x")
    assert not found.wants("absent")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("GET http://docker/_ping HTTP/1.1", "/_ping"),
        ("GET /images/127.0.0.1:5000/a/b:1/json HTTP/1.1", "/images/127.0.0.1:5000/a/b:1/json"),
        ("GET /images/127.0.0.1%3A5000%2Fa/json HTTP/1.1", "/images/127.0.0.1:5000/a/json"),
    ],
)
def test_paths(line: str, wanted: str) -> None:
    assert head(line).path == wanted


@pytest.mark.parametrize(
    "text",
    [
        "GET /_ping",
        "GET  /_ping HTTP/1.1",
        "GET _ping HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /%ff HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /_ping HTTP/2.0",
        "GET /_ping HTTP/1.1\nNo colon",
        "GET /_ping HTTP/1.1\nName : value",
        "GET /_ping HTTP/1.1\n folded",
        "POST / HTTP/1.1\nContent-Length: 1\nContent-Length: 2",
        "POST / HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked",
        "POST / HTTP/1.1\nTransfer-Encoding: gzip, chunked",
        "POST / HTTP/1.1\nContent-Length: -1",
        "POST / HTTP/1.1\nContent-Length: 1_0",
        "POST / HTTP/1.1\n" + "\n".join(f"H{number}: x" for number in range(300)),
    ],
)
def test_what_is_not_http_is_refused(text: str) -> None:
    with pytest.raises(ApiProblem):
        head(text)


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("GET / HTTP/1.1", True),
        ("GET / HTTP/1.1\nConnection: close", False),
        ("GET / HTTP/1.0", False),
        ("GET / HTTP/1.0\nConnection: keep-alive", True),
    ],
)
def test_connections_that_stay(text: str, stays: bool) -> None:
    assert head(text).keep_alive is stays


@pytest.mark.parametrize(
    ("method", "answer", "wanted"),
    [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5", Framing("length", 0)),
        ("GET", "HTTP/1.1 204 No Content", Framing("length", 0)),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", CHUNKED),
        ("GET", "HTTP/1.1 200 OK", TO_THE_END),
        ("POST", "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade", Framing("length", 0)),
    ],
)
def test_answers_are_as_long_as_they_say(method: str, answer: str, wanted: Framing) -> None:
    assert response_framing(method, parse_response(answer.encode() + b"\r\n\r\n")) == wanted


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_a_request_or_refused(data: bytes) -> None:
    for read in (parse_request, parse_response):
        with contextlib.suppress(ApiProblem):
            assert read(data + b"\r\n\r\n").headers is not None


def chunked(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    framed = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return framed + b"0\r\n" + trailer + b"\r\n"


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=6),
    cuts=st.lists(st.integers(1, 30), max_size=30),
    trailer=st.sampled_from([b"", b"X: y\r\n", b"X: y\r\nZ: \r\n"]),
)
def test_chunks_may_be_cut_anywhere(pieces: list[bytes], cuts: list[int], trailer: bytes) -> None:
    data = chunked(pieces, trailer) + b"NEXT"
    follower = Follower(CHUNKED)
    content, used, at = b"", 0, 0
    for cut in [*cuts, len(data)]:
        taken = follower.feed(data[at : at + cut])
        content, used, at = content + taken.content, used + taken.used, at + cut
    assert follower.done
    assert content == b"".join(pieces)
    assert data[used:] == b"NEXT"


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"1" * 20 + b"\r\n", b"0x3\r\nabc\r\n"]
)
def test_chunks_that_lie_are_refused(data: bytes) -> None:
    with pytest.raises(ApiProblem):
        Follower(CHUNKED).feed(data)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_a_chunked_body_of_any_bytes_ends_or_is_refused(data: bytes) -> None:
    follower = Follower(CHUNKED)
    try:
        taken = follower.feed(data)
    except ApiProblem:
        return
    assert taken.used <= len(data)
    assert follower.done or taken.used == len(data)


def test_what_follows_a_body_is_the_next_request() -> None:
    async def scene() -> None:
        source = source_of(b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET /b HTTP/1.1\r\n\r\n")
        first = await source.head()
        assert first is not None
        body = Body(source, parse_request(first).framing)
        assert await body.whole() == b"body"
        second = await source.head()
        assert second is not None
        assert parse_request(second).path == "/b"
        assert await source.head() is None

    asyncio.run(scene())


def test_raw_bytes_of_a_body_are_as_they_came() -> None:
    async def scene() -> None:
        wire = chunked([b"one", b"two"])
        source = source_of(wire + b"rest")
        assert b"".join([piece async for piece in Body(source, CHUNKED).raw()]) == wire
        assert await source.some() == b"rest"

    asyncio.run(scene())


def test_a_body_that_breaks_off_is_refused() -> None:
    async def scene() -> None:
        with pytest.raises(ApiProblem, match="ended inside a body"):
            await Body(source_of(b"ab"), Framing("length", 3)).whole()

    asyncio.run(scene())


def test_a_body_that_is_too_large_is_refused() -> None:
    async def scene() -> None:
        with pytest.raises(ApiProblem) as refusal:
            await Body(source_of(b"a" * 100), Framing("length", 100)).whole(most=50)
        assert refusal.value.status == 413

    asyncio.run(scene())


def test_a_head_without_an_end_is_refused() -> None:
    async def scene() -> None:
        with pytest.raises(ApiProblem) as refusal:
            await source_of(b"GET /" + b"a" * (MOST_HEAD_BYTES + 10)).head()
        assert refusal.value.status == 431

    asyncio.run(scene())


@given(cuts=st.lists(st.integers(1, 7), max_size=40))
def test_a_head_may_arrive_in_pieces(cuts: list[int]) -> None:
    data = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\nrest"

    async def scene() -> None:
        reader = asyncio.StreamReader()
        source = Source(reader)

        async def feed() -> None:
            at = 0
            for cut in cuts:
                reader.feed_data(data[at : at + cut])
                at += cut
                await asyncio.sleep(0)
            reader.feed_data(data[at:])
            reader.feed_eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(feed())
            found = await source.head()
        assert found == data.removesuffix(b"rest")
        assert b"".join([await source.some(), await source.some()]).startswith(b"r")

    asyncio.run(scene())
