"""Heads of HTTP/1.1 messages, read by hand: a hijacked connection leaves HTTP, which libraries do not like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from paddock.gateway.problems import BadMessage

Headers = tuple[tuple[str, str], ...]
"""As they came, in their order."""
MOST_HEADERS = 200
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_STATUS = re.compile(r"HTTP/1\.[01] ([1-9][0-9][0-9])(?: .*)?")


class Framing(NamedTuple):
    """How long a body is: `length` bytes, or chunked, or until the connection ends."""

    kind: str
    length: int = 0


NO_BODY = Framing("length", 0)
CHUNKED = Framing("chunked")
TO_THE_END = Framing("end")


class RequestHead(NamedTuple):
    method: str
    target: str
    path: str
    """Percent-decoded, without query."""
    query: dict[str, list[str]]
    headers: Headers
    framing: Framing
    keep_alive: bool
    chunks: bool = True
    """Its sender understands chunked answers: HTTP/1.1."""

    def header(self, name: str) -> str:
        return header(self.headers, name)

    def asked(self, name: str, otherwise: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [otherwise])[0]

    def wants(self, name: str) -> bool:
        """As Docker's engine reads booleans: everything but "", 0, no, false and none is true."""
        return self.asked(name).strip().lower() not in ("", "0", "no", "false", "none")


class ResponseHead(NamedTuple):
    status: int
    line: str
    headers: Headers


def header(headers: Iterable[tuple[str, str]], name: str) -> str:
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), "")


def parse_request(data: bytes) -> RequestHead:
    """Raises `BadMessage`."""
    line, headers = _lines(data)
    words = line.split(" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not _TARGET.fullmatch(words[1]):
        raise BadMessage("the request line is not METHOD TARGET HTTP/1.1")
    method, target, protocol = words
    if protocol not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadMessage("this is HTTP/1.1 only", 505)
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2] if "://" in target else target
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise BadMessage("the request's target is not a path")
    return RequestHead(
        method=method,
        target=target,
        path=_decoded(path),
        query=_query(query),
        headers=headers,
        framing=request_framing(headers),
        keep_alive=_keeps_alive(protocol, headers),
        chunks=protocol == "HTTP/1.1",
    )


def _decoded(path: str) -> str:
    try:
        text = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise BadMessage("the path is not UTF-8") from None
    if any(letter < " " or letter == "\x7f" for letter in text):
        raise BadMessage("the path has control characters")
    return text


def _query(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=1000):
            found.setdefault(name, []).append(value)
    except ValueError as error:
        raise BadMessage(f"the query cannot be read: {error}") from None
    return found


def parse_response(data: bytes) -> ResponseHead:
    """Raises `BadMessage`."""
    line, headers = _lines(data)
    found = _STATUS.fullmatch(line)
    if found is None:
        raise BadMessage("the answer does not begin with HTTP/1.1 and a status")
    return ResponseHead(int(found.group(1)), line, headers)


def _lines(data: bytes) -> tuple[str, Headers]:
    first, *rest = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(rest) > MOST_HEADERS:
        raise BadMessage(f"more than {MOST_HEADERS} headers", 431)
    headers = []
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name) or "\0" in value or "\n" in value or "\r" in value:
            raise BadMessage("a header is not of the form NAME: VALUE")
        headers.append((name, value.strip(" \t")))
    return first, tuple(headers)


def request_framing(headers: Headers) -> Framing:
    return _framing(headers) or NO_BODY


def response_framing(method: str, head: ResponseHead) -> Framing:
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return NO_BODY
    return _framing(head.headers) or TO_THE_END


def _framing(headers: Headers) -> Framing | None:
    """Both framings at once, or two different lengths, are how requests are smuggled: refused."""
    coded = [value.strip().lower() for name, value in headers if name.lower() == "transfer-encoding"]
    lengths = dict.fromkeys(value for name, value in headers if name.lower() == "content-length")
    if coded:
        if coded != ["chunked"] or lengths:
            raise BadMessage("the body's length is not said clearly")
        return CHUNKED
    if not lengths:
        return None
    length = next(iter(lengths))
    if len(lengths) > 1 or not length.isascii() or not length.isdigit() or len(length) > 18:
        raise BadMessage("the body's length is not said clearly")
    return Framing("length", int(length))


def _keeps_alive(protocol: str, headers: Headers) -> bool:
    words = [word.strip().lower() for word in header(headers, "connection").split(",")]
    return "close" not in words and (protocol == "HTTP/1.1" or "keep-alive" in words)


def encode(line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    return "".join([line, "\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]).encode("latin-1")
