"""A server of the documented API with fixed answers, over real TLS, for the real client and the real commands."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from paddock.server.authority import Authority
from paddock.wire.api import View
from waiting import until

PREFIX = "/v1/environments/default"

Answer = Any
"""A view, a list of views, an `Error`, `Lines`, or a function of the request's body that gives one of them."""


class Error:
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.body = {"code": code, "message": message, "hint": "", "problems": []}


class Lines:
    """A stream: these documents, then `error` if there is one, then the end; with `hold`, silence before that.

    `until`: a call that has to have come before the error.
    """

    def __init__(self, *views: View, hold: bool = False, error: Error | None = None, until: str = "") -> None:
        self.views = views
        self.hold = hold
        self.error = error
        self.until = until


class Served(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, Any]] = []
        self.ending = threading.Event()
        authority = Authority.open(folder, time.time())
        authority.renew_server_certificate(["127.0.0.1"], time.time())
        self.ca_file = authority.ca_file
        self.socket = authority.api_tls().wrap_socket(self.socket, server_side=True)

    @property
    def variables(self) -> dict[str, str]:
        return {"PADDOCK_SERVER": f"https://127.0.0.1:{self.server_port}", "PADDOCK_CA_FILE": str(self.ca_file)}

    def answer(self, call: str, answer: Answer) -> None:
        """`call` is `GET /stacks`, below the environment; without its query."""
        self.answers[call] = answer


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Served

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        call = f"{self.command} {url.path.removeprefix(PREFIX)}"
        self.server.calls.append((f"{call}?{url.query}" if url.query else call, json.loads(body) if body else None))
        answer = self.server.answers.get(call, Error(404, "not_found", f"nothing answers {call}"))
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(json.loads(body) if body else None)
        if isinstance(answer, Lines):
            self._stream(answer)
            return
        status = answer.status if isinstance(answer, Error) else 200
        data = msgspec.json.encode(answer.body if isinstance(answer, Error) else answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, lines: Lines) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for view in lines.views:
            self._send_line(view)
        if lines.until:
            until(lambda: any(call.startswith(lines.until) for call, _ in self.server.calls), lines.until)
        if lines.error:
            self._send_line(lines.error.body)
        if lines.hold:
            self.server.ending.wait(30)
        self.wfile.write(b"0\r\n\r\n")

    def _send_line(self, document: Any) -> None:
        data = msgspec.json.encode(document) + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_call


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
