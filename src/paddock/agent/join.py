"""How this host becomes one of a server's: a token that pins the server's CA, a key made here, a certificate back."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from paddock.agent.certificate import key_and_request
from paddock.agent.identity import KEY, Identity, is_joined, load_identity, save_identity
from paddock.agent.sealing import write_private
from paddock.model.errors import Conflict, Refused, Transient, UserError
from paddock.wire.api import ErrorAnswer, Joined, JoinRequest
from paddock.wire.join_token import JoinToken, decode_token

TIMEOUT_S = 15.0
MOST_ANSWER_BYTES = 2**20
DEFAULT_API_PORT = 7443
_ANOTHER = "get another command with `paddock hosts add`"


def join(token: str, data: Path, name: str = "", labels: Mapping[str, str] | None = None) -> Identity:
    """Asks the server for a certificate and keeps it in `data`. Blocking.

    Raises `UserError`, `Refused` or `Transient`, each saying what to do.
    """
    wanted = decode_token(token)
    place = _place(wanted)
    if is_joined(data):
        known = load_identity(data)
        raise Conflict(
            f"this host has already joined {known.server} as {known.name}",
            hint=f"remove it there with `paddock hosts remove {known.name}`, then delete {data} here",
        )
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(data, 0o700)
    trust = _trusted(wanted)
    key, request = key_and_request()
    write_private(data / KEY, key)
    asked = JoinRequest(secret=wanted.secret, csr=request, name=name or socket.gethostname(), labels=dict(labels or {}))
    status, body = _ask(wanted, trust, "POST", "/v1/join", msgspec.json.encode(asked))
    if status >= 400:
        raise _refusal(wanted, status, body)
    joined = msgspec.json.decode(body, type=Joined)
    identity = Identity(
        host=joined.host,
        name=joined.name,
        environment=joined.environment,
        server=place[0],
        agents_port=joined.agents_port,
    )
    save_identity(data, identity, joined.certificate, joined.ca)
    return identity


def _place(token: JoinToken) -> tuple[str, int]:
    text = token.server if "//" in token.server else f"https://{token.server}"
    parts = urlsplit(text)
    if not parts.hostname:
        raise UserError("the join token names no server", hint=_ANOTHER)
    return parts.hostname, parts.port or DEFAULT_API_PORT


def _trusted(token: JoinToken) -> ssl.SSLContext:
    """Whoever answers there says what its CA is; only the one the token pins is believed."""
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    untrusting.check_hostname = False
    untrusting.verify_mode = ssl.CERT_NONE
    status, body = _ask(token, untrusting, "GET", "/v1/ca")
    try:
        pem = body.decode("ascii")
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        raise Refused(
            f"{token.server} is not a Paddock server: it answered {status} when asked for its CA", hint=_ANOTHER
        ) from None
    if found != token.ca.lower():
        raise Refused(
            f"{token.server} is not the server this token was made by: its CA is {found[:16]}…, the token pins "
            f"{token.ca[:16]}…",
            hint="use the token with its own server; if the server was set up anew, " + _ANOTHER,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=pem)
    return context


def _ask(token: JoinToken, tls: ssl.SSLContext, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    host, port = _place(token)
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls)
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MOST_ANSWER_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"{token.server} shows a certificate that does not hold: {error.verify_message}",
            hint="check the clock of this host, and that the address in the token is one the server knows as its own",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise Transient(
            f"the server at {host} port {port} does not answer: {error or type(error).__name__}",
            hint="check that it runs and that this host reaches it",
        ) from error
    finally:
        connection.close()


def _refusal(token: JoinToken, status: int, body: bytes) -> Refused:
    try:
        answer = msgspec.json.decode(body, type=ErrorAnswer)
    except msgspec.DecodeError:
        return Refused(f"{token.server} answered {status} to the join", hint="see the server's log")
    refused = Refused(answer.message, hint=answer.hint)
    refused.code = answer.code
    return refused
