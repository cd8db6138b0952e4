"""`GET /events`: what happens on all hosts, as one stream in the order of time.

Each host's engine is followed on a connection of its own; a host that is lost is taken up again when it is back, from
where it was left. Events wait a moment for those of other hosts before they go out, so that their order holds.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Any

import msgspec

from paddock.core.standalone import id_of
from paddock.gateway.call import Call
from paddock.gateway.filters import Filters, encode_filters, parse_filters
from paddock.gateway.listing import shown_labels
from paddock.gateway.problems import ApiProblem
from paddock.gateway.router import Router
from paddock.model.errors import PaddockError
from paddock.model.objects import Host, HostId, Network
from paddock.wire.engine_http import EngineError
from paddock.world.backoff import Backoff

GATHER_S = 0.1
"""How long an event waits for earlier ones of other hosts."""
LOOK_S = 2.0
"""How often it is looked for hosts that have come."""
MOST_WAITING = 10_000
FIRST_BACKOFF_S, MOST_BACKOFF_S = 0.5, 10.0
Json = dict[str, Any]
Waiting = tuple[int, int, bytes]
"""(time in ns, arrival, the event)"""


def register(router: Router) -> None:
    router.add("GET", "/events", events)


async def events(call: Call) -> None:
    filters = parse_filters(call.head.asked("filters"))
    nodes = filters.pop("node", [])
    until_s = moment(call, "until")
    stream = _Stream(call, filters, nodes, until_s)
    await call.client.start(200)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(stream.follow_all())
        watching = tasks.create_task(_client_gone(call))
        sending = tasks.create_task(stream.send_all())
        await asyncio.wait([watching, sending, following], return_when=asyncio.FIRST_COMPLETED)
        if following.done() and not following.cancelled():
            await asyncio.wait([sending, watching], return_when=asyncio.FIRST_COMPLETED)
        for task in (following, watching, sending):
            task.cancel()
    if watching.cancelled():
        await call.client.end()
    else:
        call.client.closing = True


def moment(call: Call, name: str) -> float | None:
    """Seconds since the epoch, with a fraction; None when not asked. Raises `ApiProblem` (400)."""
    text = call.head.asked(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ApiProblem(400, f"{name} must be seconds since 1970, not {text[:40]!r}") from None


async def _client_gone(call: Call) -> None:
    try:
        while await call.source.some():
            continue
    except OSError:
        return


class _Stream:
    def __init__(self, call: Call, filters: Filters, nodes: list[str], until_s: float | None) -> None:
        self._call = call
        self._filters = filters
        self._nodes = nodes
        self._since_s = moment(call, "since")
        self._until_s = until_s
        self._waiting: list[Waiting] = []
        self._arrivals = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._over = False

    async def follow_all(self) -> None:
        """Until the time asked for is over on every host; for ever without one."""
        began_s = self._call.cluster.world.now_s()
        followed: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for host in self._call.gateway.hosts.reachable(self._call.environment):
                    if host.id not in followed and (not self._nodes or host.name in self._nodes):
                        since_s = self._since_s if self._since_s is not None or not followed else began_s
                        follower = _Follower(self, self._call, host, since_s)
                        followed[host.id] = tasks.create_task(follower.run())
                if self._until_s is not None:
                    break
                await asyncio.sleep(LOOK_S)
        self._over = True
        self._wake.set()

    async def put(self, host: Host, event: Json) -> int:
        """-> its time in ns. Waits while too many wait for the client."""
        while len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        at_ns = int(event.get("timeNano") or 0)
        self._arrivals += 1
        heapq.heappush(self._waiting, (at_ns, self._arrivals, msgspec.json.encode(event) + b"\n"))
        self._wake.set()
        return at_ns

    async def send_all(self) -> None:
        try:
            while not (self._over and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                if not self._over:
                    await asyncio.sleep(GATHER_S)
                while self._waiting:
                    await self._call.client.chunk(heapq.heappop(self._waiting)[2])
                    self._room.set()
        except OSError:
            return

    @property
    def filters(self) -> Filters:
        return self._filters

    @property
    def until_s(self) -> float | None:
        return self._until_s


class _Follower:
    """One host's events, without gap or repetition across broken connections."""

    def __init__(self, stream: _Stream, call: Call, host: Host, since_s: float | None) -> None:
        self._stream = stream
        self._call = call
        self._host = host
        self._since_s = since_s
        self._last_ns = 0

    async def run(self) -> None:
        backoff = Backoff(self._call.cluster.world, FIRST_BACKOFF_S, MOST_BACKOFF_S)
        while True:
            began_s = self._call.cluster.world.now_s()
            try:
                await self._follow()
                if self._stream.until_s is not None:
                    return
            except EngineError as error:
                self._call.cluster.world.log.warning("events refused", host=self._host.name, error=error.message)
                return
            except PaddockError:
                if self._stream.until_s is not None:
                    return
            self._since_s = self._last_ns / 1e9 if self._last_ns else self._since_s or began_s
            await backoff.wait()

    async def _follow(self) -> None:
        query: dict[str, str | int | bool] = {}
        if self._stream.filters:
            query["filters"] = encode_filters(self._stream.filters)
        if self._since_s is not None:
            query["since"] = f"{self._since_s:.9f}"
        if self._stream.until_s is not None:
            query["until"] = f"{self._stream.until_s:.9f}"
        engine = self._call.cluster.engine(HostId(self._host.id))
        async with engine.stream("GET", "/events", query=query) as answer:
            async for event in answer.json_lines():
                if isinstance(event, dict) and int(event.get("timeNano") or 0) > self._last_ns:
                    self._last_ns = await self._stream.put(self._host, self._told(event))

    def _told(self, event: Json) -> Json:
        """With the host it happened on, as classic Swarm said it, and the cluster's ids for networks."""
        actor = event.get("Actor") or {}
        attributes = shown_labels(actor.get("Attributes") or {})
        host = self._host
        attributes |= {"node.name": host.name, "node.id": host.id, "node.addr": host.facts.address}
        id = str(actor.get("ID") or "")
        if event.get("Type") == "network":
            network = self._call.cluster.snapshot().named(Network, host.environment, str(attributes.get("name") or ""))
            id = id_of("network", network.id) if network is not None else id
        return {**event, "Actor": {**actor, "ID": id, "Attributes": attributes}}
