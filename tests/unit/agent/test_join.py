"""Joining: what a host checks before it trusts, what it keeps, and how refusals read."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from certificates import Authority
from paddock.agent.identity import CERTIFICATE, KEY, Identity, is_joined, load_identity, lock, tls_of
from paddock.agent.join import join
from paddock.model.errors import Broken, Conflict, PaddockError, Refused, Transient, UserError
from paddock.wire.api import ErrorAnswer, Joined, JoinRequest
from paddock.wire.join_token import JoinToken, encode_token


class Server:
    """The two calls of a server that joining needs, over TLS."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.shown_ca = self.authority.pem
        self.refusal: tuple[int, ErrorAnswer] | None = None
        self.requests: list[JoinRequest] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, outer.shown_ca.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(msgspec.json.decode(body, type=JoinRequest))
                status, answer = outer.answer()
                self._answer(status, msgspec.json.encode(answer))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        tls = self.authority.server_tls(directory, "127.0.0.1", client_needed=False)
        self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self) -> tuple[int, ErrorAnswer | Joined]:
        if self.refusal is not None:
            return self.refusal
        joined = Joined(
            host="host-1",
            name="h1",
            environment="default",
            certificate=self.authority.sign_request(self.requests[-1].csr),
            ca=self.authority.pem,
            agents_port=7444,
        )
        return 201, joined

    def token(self, **changes: str) -> str:
        values = {
            "server": f"https://127.0.0.1:{self.http.server_port}",
            "ca": self.authority.fingerprint,
            "secret": "s3cret",
            **changes,
        }
        return encode_token(JoinToken(**values))

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.close()


def test_a_join_leaves_an_identity_that_works(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "agent"
    identity = join(server.token(), data, "h1", {"zone": "a"})
    expected = Identity(host="host-1", name="h1", environment="default", server="127.0.0.1", agents_port=7444)
    assert identity == expected
    assert load_identity(data) == identity
    asked = server.requests[0]
    assert (asked.secret, asked.name, asked.labels) == ("s3cret", "h1", {"zone": "a"})
    assert tls_of(data).verify_mode == ssl.CERT_REQUIRED
    assert (data / KEY).stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    assert b"PRIVATE" not in (data / CERTIFICATE).read_bytes()


def test_joining_twice_is_a_conflict_that_names_the_server(server: Server, tmp_path: Path) -> None:
    join(server.token(), tmp_path / "agent")
    with pytest.raises(Conflict, match=r"already joined 127\.0\.0\.1 as h1.*paddock hosts remove h1"):
        join(server.token(), tmp_path / "agent")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("token_used", "this join token was already used, by host h7"),
        ("token_expired", "this join token expired 40 s ago"),
        ("token_unknown", "this join token was not made by this server, or ended long ago"),
    ],
)
def test_refusals_read_as_the_server_says_them(server: Server, tmp_path: Path, code: str, message: str) -> None:
    server.refusal = (403, ErrorAnswer(code=code, message=message, hint="make another"))
    with pytest.raises(Refused, match=message) as caught:
        join(server.token(), tmp_path / "agent")
    assert (caught.value.code, caught.value.hint) == (code, "make another")
    assert not is_joined(tmp_path / "agent")


def test_another_server_than_the_tokens_hears_no_secret(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is not the server this token was made by"):
        join(server.token(ca="0" * 64), tmp_path / "agent")
    assert server.requests == []


def test_a_server_that_shows_the_right_ca_but_does_not_have_it_hears_no_secret(server: Server, tmp_path: Path) -> None:
    pinned = Authority()
    server.shown_ca = pinned.pem
    with pytest.raises(Refused, match="shows a certificate that does not hold"):
        join(server.token(ca=pinned.fingerprint), tmp_path / "agent")
    assert server.requests == []


def test_what_answers_may_not_be_a_server_of_ours(server: Server, tmp_path: Path) -> None:
    server.shown_ca = "<html>hello</html>"
    with pytest.raises(Refused, match="is not a Paddock server"):
        join(server.token(), tmp_path / "agent")


def test_nobody_answers(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"does not answer.*check that it runs"):
        join(server.token(server="https://127.0.0.1:1"), tmp_path / "agent")


@pytest.mark.parametrize("text", ["", "hello", "pdk1.e30", "paddock-join.", "paddock-join.e30", "paddock-join.%%"])
def test_damaged_tokens(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError):
        join(text, tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


def test_a_host_that_never_joined_says_how(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has not joined.*paddock hosts add"):
        load_identity(tmp_path)


def test_damaged_identities(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "agent"
    join(server.token(), data)
    (data / KEY).write_text("no key")
    with pytest.raises(Broken, match="cannot be used"):
        tls_of(data)
    (data / "identity.json").write_text("{")
    with pytest.raises(Broken, match="cannot be read"):
        load_identity(data)


def test_one_agent_per_directory(tmp_path: Path) -> None:
    lock(tmp_path)
    with pytest.raises(PaddockError, match="another agent"):
        lock(tmp_path)
