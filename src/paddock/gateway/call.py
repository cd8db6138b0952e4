"""One request on its way through a handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from paddock.gateway.body import Body
from paddock.gateway.client import Client
from paddock.gateway.cluster import Caller
from paddock.gateway.head import RequestHead
from paddock.gateway.problems import ApiProblem
from paddock.gateway.source import Source

if TYPE_CHECKING:
    from paddock.gateway.gateway import Gateway

Api = tuple[int, int]


class Call:
    """`path` is without version; `params` are what the route's pattern named; `api` the version it is spoken in."""

    def __init__(self, gateway: Gateway, caller: Caller, head: RequestHead, client: Client, source: Source) -> None:
        self.gateway = gateway
        self.cluster = gateway.cluster
        self.caller = caller
        self.head = head
        self.client = client
        self.source = source
        waits = head.header("expect").lower() == "100-continue" and head.chunks
        self.body = Body(source, head.framing, client.go_on if waits else None)
        self.path = head.path
        self.params: dict[str, str] = {}
        self.api: Api = (1, 41)

    @property
    def environment(self) -> str:
        return self.caller.environment

    async def json(self) -> Any:
        """The body as JSON; None for none. Raises `ApiProblem` (400)."""
        data = await self.body.whole()
        if not data:
            return None
        if not self.head.header("content-type").startswith("application/json"):
            given = self.head.header("content-type") or "none"
            raise ApiProblem(400, f"unsupported Content-Type header ({given}): must be 'application/json'")
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise ApiProblem(400, f"invalid JSON: {error}") from None

    async def json_object(self) -> dict[str, Any]:
        found = await self.json()
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ApiProblem(400, "the request's body must be a JSON object")
        return found
