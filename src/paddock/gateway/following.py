"""What happens on an environment's hosts, put together in the order of time, for as long as somebody listens.

Each host's engine is followed on a connection of its own; a host that is lost is taken up again when it is back, from
where it was left. Events wait a moment for those of other hosts before they go on, so that their order holds.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from paddock.core.standalone import id_of
from paddock.gateway.cluster import Cluster
from paddock.gateway.event_filters import fits
from paddock.gateway.filters import Filters, encode_filters
from paddock.gateway.hosts import Hosts
from paddock.gateway.listing import given_up, known_id, shown_labels
from paddock.model.errors import PaddockError
from paddock.model.objects import Host, HostId, Network
from paddock.wire.engine_errors import EngineError
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


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch; without `since_s` from now on, without `until_s` for ever."""

    environment: str
    filters: Filters = {}
    nodes: tuple[str, ...] = ()
    since_s: float | None = None
    until_s: float | None = None


class Told(msgspec.Struct, frozen=True):
    """`engines` is the event in the engine's own words, by which filters go as well."""

    event: Json
    engines: Json
    node: str
    line: bytes


Waiting = tuple[int, int, Told]
"""(time in ns, arrival, the event)"""


class Following:
    """`run` follows, for as long as `events` are wanted."""

    def __init__(self, cluster: Cluster, hosts: Hosts, wanted: Wanted) -> None:
        self.cluster = cluster
        self.wanted = wanted
        self._hosts = hosts
        self._waiting: list[Waiting] = []
        self._arrivals = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._over = False
        self._awaited: dict[str, None] = {}
        self._all_begun = asyncio.Event()
        self._here: dict[str, bool] = {}

    async def run(self) -> None:
        """Until the time asked for is over on every host; for ever without one."""
        began_s = self.cluster.world.now_s()
        followed: dict[str, _Follower] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                for host in await self._looked_at():
                    if host.id not in followed:
                        self._awaited |= {} if self._all_begun.is_set() else {host.id: None}
                        since_s = self.wanted.since_s if self.wanted.since_s is not None else began_s
                        followed[host.id] = _Follower(self, host, since_s)
                    if not followed[host.id].busy:
                        followed[host.id].busy = True
                        tasks.create_task(followed[host.id].run())
                if not self._awaited:
                    self._all_begun.set()
                if self.wanted.until_s is not None:
                    break
                await asyncio.sleep(LOOK_S)
        self._over = True
        self._wake.set()

    async def events(self) -> AsyncIterator[Told]:
        await self._backlog()
        while not (self._over and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            if not self._over:
                await asyncio.sleep(GATHER_S)
            while self._waiting:
                yield heapq.heappop(self._waiting)[2]
                self._room.set()

    async def _looked_at(self) -> list[Host]:
        """Hosts that answer; that one came or went since the last look is an event too."""
        everyone = self._hosts.all(self.wanted.environment)
        hosts = [host for host in everyone if not self.wanted.nodes or host.name in self.wanted.nodes]
        now = {host.id: self.cluster.connected(HostId(host.id)) for host in hosts}
        for host in hosts:
            before = self._here.get(host.id, now[host.id])
            if before != now[host.id]:
                moved = self._moved(host, here=now[host.id])
                await self.put(host, moved, moved)
        self._here = now
        return [host for host in hosts if now[host.id]]

    def _moved(self, host: Host, *, here: bool) -> Json:
        """As swarm mode says it of its nodes."""
        at_s = self.cluster.world.now_s()
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

    async def put(self, host: Host, event: Json, engines: Json) -> None:
        """Waits while too many wait to be heard."""
        if event["Type"] == "node" and not fits(self.wanted.filters, event):
            return
        while len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        at_ns = int(event.get("timeNano") or 0)
        self._arrivals += 1
        told = Told(event, engines, host.name, msgspec.json.encode(event) + b"\n")
        heapq.heappush(self._waiting, (at_ns, self._arrivals, told))
        self._wake.set()

    def begun(self, host: Host) -> None:
        """What there was of it has begun to come, or it cannot be had."""
        self._awaited.pop(host.id, None)
        if not self._awaited:
            self._all_begun.set()

    async def _backlog(self) -> None:
        """What was before is in order only once every host has begun to tell it."""
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._all_begun.wait()
        except TimeoutError:
            self.cluster.world.probe("a host was slow to tell its events")


class _Follower:
    """One host's events, without gap or repetition across broken connections."""

    def __init__(self, following: Following, host: Host, since_s: float) -> None:
        self._following = following
        self._cluster = following.cluster
        self._wanted = following.wanted
        self._host = host
        self._since_s = since_s
        self._last_ns = 0
        self._anew: dict[str, str] = {}
        self.busy = False

    async def run(self) -> None:
        """Until its host is gone: taken up again when it is back."""
        backoff = Backoff(self._cluster.world, FIRST_BACKOFF_S, MOST_BACKOFF_S)
        while True:
            try:
                await self._follow()
                if self._wanted.until_s is not None:
                    return
            except EngineError as error:
                self._cluster.world.log.warning("events refused", host=self._host.name, error=error.message)
                return
            except PaddockError:
                if self._wanted.until_s is not None:
                    return
            finally:
                self._following.begun(self._host)
            self._since_s = self._last_ns / 1e9 if self._last_ns else self._since_s
            if not self._cluster.connected(HostId(self._host.id)):
                self.busy = False
                return
            await backoff.wait()

    async def _follow(self) -> None:
        query: dict[str, str | int | bool] = {"since": f"{self._since_s:.9f}"}
        if self._wanted.filters:
            query["filters"] = encode_filters(self._wanted.filters)
        if self._wanted.until_s is not None:
            query["until"] = f"{self._wanted.until_s:.9f}"
        engine = self._cluster.engine(HostId(self._host.id))
        async with engine.stream("GET", "/events", query=query) as answer:
            self._following.begun(self._host)
            async for event in answer.json_lines():
                if isinstance(event, dict) and int(event.get("timeNano") or 0) > self._last_ns:
                    self._last_ns = int(event["timeNano"])
                    if (told := self._told(event)) is not None:
                        await self._following.put(self._host, told, event)

    def _told(self, event: Json) -> Json | None:
        """With the host it happened on, as classic Swarm said it, and the cluster's ids for networks and containers.

        None for what happens to a container whose place was taken elsewhere while its host was away.
        """
        actor = event.get("Actor") or {}
        labels = actor.get("Attributes") or {}
        attributes = shown_labels(labels)
        host, snapshot = self._host, self._cluster.snapshot()
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
