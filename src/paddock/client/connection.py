"""HTTP/1.1 over pinned TLS: small calls on kept connections, streams on connections of their own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urlsplit

import msgspec

from paddock.client.http1 import READ_BYTES, HttpConnection, Request
from paddock.model.errors import (
    Broken,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PaddockError,
    Refused,
    TooOld,
    Transient,
    UserError,
)
from paddock.wire.api import ErrorAnswer

CONNECT_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 60.0
MOST_IDLE = 4
MOST_ANSWER_BYTES = 256 * 2**20
DEFAULT_PORT = 7443

Query = Mapping[str, str | int | bool | None]
_CLASSES: dict[str, type[PaddockError]] = {
    cls.code: cls for cls in (UserError, NotFound, Conflict, Forbidden, TooOld, Refused, Transient, Broken)
}


def pinned_tls(ca_pem: str) -> ssl.SSLContext:
    """Trusts one CA only. Host names are not looked at: this CA signs one server and nobody else, and servers are
    reached by addresses (forwarded ports, tunnels) that their certificate cannot know.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise UserError("the CA is not a certificate in PEM form", hint="it is `ca.crt` of the server") from error
    return context


async def fetch_ca(server: str, fingerprint: str) -> str:
    """The CA's PEM, taken from a server nobody vouches for yet, and checked against what we were told. Raises `Refused`
    when it is another one."""
    import hashlib

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connections = Connections(server, context, key="")
    try:
        pem = (await connections.call("GET", "/v1/ca")).decode("ascii", "replace")
    finally:
        await connections.close()
    try:
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        found = "no certificate"
    if found != fingerprint.lower():
        raise Refused(
            f"the server at {server} is not the one that was meant: its CA is {found[:16]}…, not {fingerprint[:16]}…",
            hint="use a token or fingerprint of this server, and check that nobody is in between",
        )
    return pem


def error_of(status: int, body: bytes) -> PaddockError:
    """The error the server answered with, as the class it was raised as."""
    try:
        answer = msgspec.json.decode(body, type=ErrorAnswer)
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace").strip()[:300] or "no explanation"
        return Transient(f"the server answered with status {status}: {text}")
    if answer.code == Invalid.code and answer.problems:
        return Invalid(answer.problems)
    fallback = UserError if status < 500 else Transient if status in (502, 503, 504) else Broken
    error = _CLASSES.get(answer.code, fallback)(answer.message, hint=answer.hint)
    error.code = answer.code
    return error


class Connections:
    """To one server with one key. The key is in no error and no representation."""

    def __init__(self, server: str, tls: ssl.SSLContext, key: str) -> None:
        parts = urlsplit(server if "://" in server else f"https://{server}")
        if parts.scheme != "https" or not parts.hostname:
            raise UserError(f"{server!r} is not a server's address", hint="it looks like https://HOST:7443")
        self.server = server
        self.host = parts.hostname
        self.port = parts.port or DEFAULT_PORT
        self.tls = tls
        self._key = key
        self._idle: list[HttpConnection] = []

    def headers(self) -> list[tuple[str, str]]:
        host = f"[{self.host}]" if ":" in self.host else self.host
        found = [("Host", f"{host}:{self.port}"), ("User-Agent", "paddock"), ("Accept", "application/json")]
        return [*found, ("Authorization", f"Bearer {self._key}")] if self._key else found

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> bytes:
        """One call with its whole answer. A kept connection that the server has closed meanwhile is not held against
        it: nothing of the call was read then, and it is made again on a new one.
        """
        head = self._head(method, path, query, body)
        with _Unreachable(self.server):
            async with asyncio.timeout(timeout_s):
                connection = self._take_idle()
                if connection is not None:
                    try:
                        return await self._answered(connection, head, body or b"")
                    except (OSError, EOFError):
                        if method not in ("GET", "PUT", "DELETE"):
                            raise
                return await self._answered(await self._connect(), head, body or b"")

    async def _answered(self, connection: HttpConnection, head: Request, body: bytes) -> bytes:
        keep = False
        try:
            status = await connection.request(head, body)
            answer = await connection.body(MOST_ANSWER_BYTES)
            keep = connection.reusable
        finally:
            if keep and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.drop()
        if status >= 400:
            raise error_of(status, answer)
        return answer

    @asynccontextmanager
    async def stream(self, path: str, *, query: Query | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET whose answer arrives over time, in pieces; silence is normal in it. Closed on leaving."""
        with _Unreachable(self.server):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await self._connect()
        try:
            with _Unreachable(self.server):
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    status = await connection.request(self._head("GET", path, query, None))
                    if status >= 400:
                        raise error_of(status, await connection.body(MOST_ANSWER_BYTES))
            yield self._pieces(connection)
        finally:
            connection.drop()

    async def _pieces(self, connection: HttpConnection) -> AsyncIterator[bytes]:
        pieces = connection.pieces()
        while True:
            with _Unreachable(self.server):
                piece = await anext(pieces, b"")
            if not piece:
                return
            yield piece

    def _head(self, method: str, path: str, query: Query | None, body: bytes | None) -> Request:
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        headers = self.headers()
        if body is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        elif method in ("POST", "PUT", "PATCH"):
            headers.append(("Content-Length", "0"))
        return Request(method, f"{path}?{urlencode(given)}" if given else path, headers)

    def _take_idle(self) -> HttpConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
            connection.drop()
        return None

    async def _connect(self) -> HttpConnection:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return HttpConnection(*await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=READ_BYTES))

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().drop()
        await asyncio.sleep(0)


def _text(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class _Unreachable:
    """Turns what broken connections raise into `Transient`, and a wrong certificate into `Refused`."""

    def __init__(self, server: str) -> None:
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case ssl.SSLCertVerificationError():
                raise Refused(
                    f"the server at {self._server} has a certificate of another CA ({error.verify_message})",
                    hint="point PADDOCK_CA_FILE at the ca.crt of this server",
                ) from error
            case TimeoutError():
                raise Transient(f"no answer from the server at {self._server} in time") from error
            case OSError() | EOFError():
                raise Transient(
                    f"the server at {self._server} cannot be reached: {error or type(error).__name__}",
                    hint="is `paddock server` running there?",
                ) from error
