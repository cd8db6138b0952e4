"""From what a client calls a container to the host it is on.

Names and ids are the cluster's: what the snapshot knows comes first, then what was made through this gateway a moment
ago, and last the engines themselves are asked, since containers may be there that were started behind our back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

import msgspec

from paddock.gateway.cluster import Cluster
from paddock.gateway.hosts import Hosts, answered
from paddock.gateway.problems import ApiProblem, no_such
from paddock.model.objects import ContainerStatus, Host, HostId, Unit, UnitId
from paddock.model.snapshot import Snapshot
from paddock.wire.engine_http import EngineNotFound

MOST_REMEMBERED = 20_000
ID_DIGITS = frozenset("0123456789abcdef")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`engine_name`: what its engine knows it by. `unit` None: started behind our back, or not reported yet.

    `said`: what the client called it, where its engine knows that name too and will use it in what it answers.
    """

    host: Host
    engine_name: str
    unit: Unit | None = None
    said: str = ""


Value = TypeVar("Value", bound=str)


class Recent(Generic[Value]):
    """The newest so many keys -> value."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._entries: OrderedDict[str, Value] = OrderedDict()

    def get(self, key: str) -> Value | None:
        return self._entries.get(key)

    def put(self, key: str, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    def beginning_with(self, prefix: str) -> list[str]:
        return [key for key in self._entries if key.startswith(prefix)]


class Finder:
    """`made`: container id -> host; `units`: container id -> unit; `execs`: exec id -> host."""

    def __init__(self, cluster: Cluster, hosts: Hosts) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self.made: Recent[HostId] = Recent()
        self.units: Recent[UnitId] = Recent()
        self.execs: Recent[HostId] = Recent()

    async def container(self, environment: str, name: str) -> Found:
        """Raises `ApiProblem`: 404, or 400 for an id prefix that fits several."""
        asked = name.removeprefix("/")
        within, slash, plain = asked.rpartition("/")
        found = self._known(environment, plain) if slash else self._known(environment, asked)
        if found is None:
            found = await self._asked(environment, plain if slash else asked, within)
        if found is None or (within and found.host.name != within):
            raise no_such("container", name)
        return found

    def _known(self, environment: str, name: str) -> Found | None:
        snapshot = self._cluster.snapshot()
        host_id = self.made.get(name)
        if host_id is not None and (host := snapshot.get(Host, host_id)) is not None:
            unit = _unit_with_id(snapshot, host_id, name) or snapshot.get(Unit, self.units.get(name) or "")
            return Found(host=host, engine_name=name, unit=unit)
        named = [unit for unit in snapshot.units_named(environment, name) if unit.host is not None]
        if named:
            unit = max(named, key=lambda unit: (unit.live, unit.created_at_s, unit.generation))
            primary = next((status for status in unit.containers if not status.role), None)
            return _found(snapshot, unit, primary, name)
        return self._by_status(snapshot, environment, name)

    def _by_status(self, snapshot: Snapshot, environment: str, name: str) -> Found | None:
        """A sidekick's name, or an id or its beginning."""
        is_id = all(digit in ID_DIGITS for digit in name)
        fitting: dict[str, Found] = {}
        for unit in snapshot.in_environment(Unit, environment):
            for status in unit.containers:
                if status.name == name or (is_id and status.id and status.id.startswith(name)):
                    found = _found(snapshot, unit, status, name)
                    known = fitting.get(status.id)
                    newer = known is None or known.unit is None or known.unit.generation < unit.generation
                    if found is not None and newer:
                        fitting[status.id] = found
        for id in self.made.beginning_with(name) if is_id else ():
            host = snapshot.get(Host, self.made.get(id) or "")
            if host is not None and id not in fitting:
                fitting[id] = Found(host=host, engine_name=id)
        if len(fitting) > 1:
            raise ApiProblem(400, f"Multiple IDs found with provided prefix: {name}")
        return next(iter(fitting.values()), None)

    async def _asked(self, environment: str, name: str, host_name: str) -> Found | None:
        async def ask(host: Host) -> Any:
            try:
                return await self._cluster.engine(HostId(host.id)).json("GET", f"/containers/{name}/json")
            except EngineNotFound:
                return None

        hosts = [host for host in self._hosts.reachable(environment) if host_name in ("", host.name)]
        found = [(host, seen) for host, seen in answered(await self._hosts.ask_each(hosts, ask)) if seen]
        if len(found) > 1:
            there = ", ".join(host.name for host, _ in found)
            raise ApiProblem(400, f"Multiple IDs found with provided prefix: {name} (on {there}: say HOST/{name})")
        if not found:
            return None
        host, seen = found[0]
        return Found(host=host, engine_name=str(seen["Id"]))

    async def exec_host(self, environment: str, id: str) -> Host:
        """Exec ids name no container: remembered from when they were made, else every host is asked."""
        known = self.execs.get(id)
        host = self._cluster.snapshot().get(Host, known) if known is not None else None
        if host is not None:
            return host

        async def ask(host: Host) -> bool:
            try:
                await self._cluster.engine(HostId(host.id)).json("GET", f"/exec/{id}/json")
            except EngineNotFound:
                return False
            return True

        hosts = self._hosts.reachable(environment)
        for host, has in answered(await self._hosts.ask_each(hosts, ask)):
            if has:
                self.execs.put(id, HostId(host.id))
                return host
        raise ApiProblem(404, f"No such exec instance: {id}")


def _found(snapshot: Snapshot, unit: Unit, status: ContainerStatus | None, name: str) -> Found | None:
    host = snapshot.get(Host, unit.host) if unit.host is not None else None
    if host is None:
        return None
    if status is None or not status.id:
        return Found(host=host, engine_name=name, unit=unit)
    same = unit.standalone and status.name.removeprefix("/") == name
    return Found(host=host, engine_name=status.id, unit=unit, said=name if same else "")


def _unit_with_id(snapshot: Snapshot, host: HostId, id: str) -> Unit | None:
    for unit in snapshot.units_on_host(host):
        if any(status.id == id for status in unit.containers):
            return unit
    return None
