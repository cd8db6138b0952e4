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
from paddock.gateway.listing import given_up, known_id, shown_labels
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
BEGIN_S = 3.0
"""How long hosts have to begin with what happened before."""
MOST_WAITING = 10_000
MOST_ANEW = 1000
"""Containers whose id is not their engine's."""
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
        self._awaited: dict[str, None] = {}
        self._all_begun = asyncio.Event()
        self._here: dict[str, bool] = {}

    async def follow_all(self) -> None:
        """Until the time asked for is over on every host; for ever without one."""
        began_s = self._call.cluster.world.now_s()
        followed: dict[str, _Follower] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for host in await self._looked_at():
                    if host.id not in followed:
                        self._awaited |= {} if self._all_begun.is_set() else {host.id: None}
                        since_s = self._since_s if self._since_s is not None or not followed else began_s
                        followed[host.id] = _Follower(self, self._call, host, since_s)
                    if not followed[host.id].busy:
                        followed[host.id].busy = True
                        tasks.create_task(followed[host.id].run())
                if not self._awaited:
                    self._all_begun.set()
                if self._until_s is not None:
                    break
                await asyncio.sleep(LOOK_S)
        self._over = True
        self._wake.set()

    async def _looked_at(self) -> list[Host]:
        """Hosts that answer; that one came or went since the last look is an event too."""
        everyone = self._call.gateway.hosts.all(self._call.environment)
        hosts = [host for host in everyone if not self._nodes or host.name in self._nodes]
        now = {host.id: self._call.cluster.connected(HostId(host.id)) for host in hosts}
        for host in hosts:
            before = self._here.get(host.id, now[host.id])
            if before != now[host.id] and self._filters.get("type", ["node"]) == ["node"] and len(self._filters) < 2:
                await self.put(self._moved(host, here=now[host.id]))
        self._here = now
        return [host for host in hosts if now[host.id]]

    def _moved(self, host: Host, *, here: bool) -> Json:
        """As swarm mode says it of its nodes."""
        at_s = self._call.cluster.world.now_s()
        old, new = ("down", "ready") if here else ("ready", "down")
        named = {"name": host.name, "node.name": host.name, "node.id": host.id, "node.addr": host.facts.address}
        return {
            "Type": "node",
            "Action": "update",
            "Actor": {"ID": host.id, "Attributes": {**named, "state.old": old, "state.new": new}},
            "scope": "swarm",
            "time": int(at_s),
            "timeNano": int(at_s * 1e9),
        }

    async def put(self, event: Json) -> None:
        """Waits while too many wait for the client."""
        while len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        at_ns = int(event.get("timeNano") or 0)
        self._arrivals += 1
        heapq.heappush(self._waiting, (at_ns, self._arrivals, msgspec.json.encode(event) + b"\n"))
        self._wake.set()

    def begun(self, host: Host) -> None:
        """What there was of it has begun to come, or it cannot be had."""
        self._awaited.pop(host.id, None)
        if not self._awaited:
            self._all_begun.set()

    async def send_all(self) -> None:
        try:
            await self._backlog()
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

    async def _backlog(self) -> None:
        """What was before is in order only once every host has begun to tell it."""
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._all_begun.wait()
        except TimeoutError:
            self._call.cluster.world.probe("a host was slow to tell its events")

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
        self._anew: dict[str, str] = {}
        self.busy = False

    async def run(self) -> None:
        """Until its host is gone: taken up again when it is back."""
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
            finally:
                self._stream.begun(self._host)
            self._since_s = self._last_ns / 1e9 if self._last_ns else self._since_s or began_s
            if not self._call.cluster.connected(HostId(self._host.id)):
                self.busy = False
                return
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
            self._stream.begun(self._host)
            async for event in answer.json_lines():
                if isinstance(event, dict) and int(event.get("timeNano") or 0) > self._last_ns:
                    self._last_ns = int(event["timeNano"])
                    if (told := self._told(event)) is not None:
                        await self._stream.put(told)

    def _told(self, event: Json) -> Json | None:
        """With the host it happened on, as classic Swarm said it, and the cluster's ids for networks and containers.

        None for what happens to a container whose place was taken elsewhere while its host was away.
        """
        actor = event.get("Actor") or {}
        labels = actor.get("Attributes") or {}
        attributes = shown_labels(labels)
        host, snapshot = self._host, self._call.cluster.snapshot()
        attributes |= {"node.name": host.name, "node.id": host.id, "node.addr": host.facts.address}
        id = str(actor.get("ID") or "")
        told = {**event}
        if event.get("Type") == "network":
            network = snapshot.named(Network, host.environment, str(attributes.get("name") or ""))
            id = id_of("network", network.id) if network is not None else id
        elif event.get("Type") == "container":
            if given_up(snapshot, labels):
                return None
            id = self._known_id(known_id(snapshot, id, labels), id)
        if "id" in event and event["id"] == actor.get("ID"):
            told["id"] = id
        return {**told, "Actor": {**actor, "ID": id, "Attributes": attributes}}

    def _known_id(self, known: str, id: str) -> str:
        """Remembered, since the last events of a container may come when nothing else is known of it."""
        if known != id:
            if len(self._anew) >= MOST_ANEW:
                self._anew.clear()
            self._anew[id] = known
        return self._anew.get(id, id)
