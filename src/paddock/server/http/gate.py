"""The gate in front of the API: who has no valid key gets no further, whatever the path."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from paddock.model.errors import PaddockError
from paddock.server.auth import caller_of
from paddock.server.http.answers import answer_of, status_of
from paddock.store.store import Store
from paddock.world.world import World

OPEN = {("GET", "/v1/ping"), ("GET", "/v1/ca"), ("POST", "/v1/join")}
OPEN_BELOW = "/schema"
CALLER = "paddock.caller"
"""Where in the ASGI scope the handlers find who calls."""


class Gate:
    """ASGI around the application."""

    def __init__(self, app: ASGIApp, store: Store, world: World) -> None:
        self._app = app
        self._store = store
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = str(scope["type"])
        if kind == "http" or kind == "websocket":
            path = str(scope["path"])
            is_open = (scope.get("method", ""), path) in OPEN or path == OPEN_BELOW or path.startswith(OPEN_BELOW + "/")
            if not is_open:
                try:
                    caller = caller_of(_authorization(scope), self._store.durable(), self._world.now_s())
                except PaddockError as error:
                    await _refuse(kind, error, receive, send)
                    return
                scope[CALLER] = caller  # type: ignore[literal-required]
        await self._app(scope, receive, send)


def _authorization(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1")
    return ""


async def _refuse(kind: str, error: PaddockError, receive: Receive, send: Send) -> None:
    body = msgspec.json.encode(answer_of(error))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    status = status_of(error)
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    prefix = "http.response" if kind == "http" else "websocket.http.response"
    if kind == "websocket":
        await receive()
    start: Any = {"type": f"{prefix}.start", "status": status, "headers": headers}
    rest: Any = {"type": f"{prefix}.body", "body": body, "more_body": False}
    await send(start)
    await send(rest)
