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
from paddock.model.snapshot import ID_KEY_DIGITS, Snapshot
from paddock.wire.engine_errors import EngineNotFound

MOST_REMEMBERED = 20_000
ID_DIGITS = frozenset("0123456789abcdef")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """`engine_name`: what its engine knows it by. `unit` None: started behind our back, or not reported yet.

    `known_as`: the id that clients know it by, "" where that is the engine's own.
    `said`: what the client called it, where its engine knows that name too and will use it in what it answers.
    """

    host: Host
    engine_name: str
    unit: Unit | None = None
    known_as: str = ""
    said: str = ""


Value = TypeVar("Value", bound=str)


class Recent(Generic[Value]):
    """The newest so many keys -> value."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._entries: OrderedDict[str, Value] = OrderedDict()
        self._beginnings: dict[str, dict[str, None]] = {}

    def get(self, key: str) -> Value | None:
        return self._entries.get(key)

    def put(self, key: str, value: Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        self._beginnings.setdefault(key[:ID_KEY_DIGITS], {})[key] = None
        if len(self._entries) > self._most:
            self.forget(next(iter(self._entries)))

    def forget(self, key: str) -> None:
        if self._entries.pop(key, None) is None:
            return
        alike = self._beginnings[key[:ID_KEY_DIGITS]]
        del alike[key]
        if not alike:
            del self._beginnings[key[:ID_KEY_DIGITS]]

    def beginning_with(self, prefix: str) -> list[str]:
        if len(prefix) < ID_KEY_DIGITS:
            return [key for key in self._entries if key.startswith(prefix)]
        return [key for key in self._beginnings.get(prefix[:ID_KEY_DIGITS], ()) if key.startswith(prefix)]


class Finder:
    """`made`: container id -> host; `units`: container id -> unit; `ids`: the other way; `execs`: exec id -> host."""

    def __init__(self, cluster: Cluster, hosts: Hosts) -> None:
        self._cluster = cluster
        self._hosts = hosts
        self.made: Recent[HostId] = Recent()
        self.units: Recent[UnitId] = Recent()
        self.ids: Recent[str] = Recent()
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
        named = [unit for unit in snapshot.units_named(environment, name) if unit.host is not None]
        if named:
            unit = max(named, key=_newest)
            primary = next((status for status in unit.containers if not status.role), None)
            return _found(snapshot, unit, primary, name)
        for unit in snapshot.units_with_container_named(environment, name):
            status = next(status for status in unit.containers if status.name == name)
            if (found := _found(snapshot, unit, status, name)) is not None:
                return found
        return self._by_id(snapshot, environment, name) if name and all(digit in ID_DIGITS for digit in name) else None

    def _by_id(self, snapshot: Snapshot, environment: str, id: str) -> Found | None:
        """A whole id or the beginning of one. Raises `ApiProblem` when it begins several."""
        fitting: dict[str, tuple[Unit, ContainerStatus]] = {}
        for unit in snapshot.units_with_container(environment, id):
            for status in unit.containers or (being_made(unit),):
                known_as = cluster_id(unit, status)
                if not (status.id.startswith(id) or known_as.startswith(id)) or not status.id:
                    continue
                if known_as not in fitting or _newest(fitting[known_as][0]) < _newest(unit):
                    fitting[known_as] = (unit, status)
        fresh = [made for made in self.made.beginning_with(id) if made not in fitting]
        fresh = [made for made in fresh if not snapshot.units_with_container(environment, made)]
        hosts = {made: snapshot.get(Host, self.made.get(made) or "") for made in fresh}
        there = {made: host for made, host in hosts.items() if host is not None and host.environment == environment}
        if len(fitting) + len(there) > 1:
            raise ApiProblem(400, f"Multiple IDs found with provided prefix: {id}")
        for made, host in there.items():
            return Found(host=host, engine_name=made, unit=snapshot.get(Unit, self.units.get(made) or ""))
        for unit, status in fitting.values():
            return _found(snapshot, unit, status, id)
        return None

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
        if host is not None and host.environment == environment:
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


def cluster_id(unit: Unit, status: ContainerStatus) -> str:
    """The id that clients know the container by: that of the first one, wherever its successors are."""
    return unit.known_as if unit.known_as and not status.role else status.id


def being_made(unit: Unit) -> ContainerStatus:
    """Of a unit that takes the place of a lost one and has no container yet."""
    return ContainerStatus(id=unit.known_as, name=unit.name, state="created")


def _newest(unit: Unit) -> tuple[bool, float, int]:
    return (unit.live, unit.created_at_s, unit.generation)


def _found(snapshot: Snapshot, unit: Unit, status: ContainerStatus | None, name: str) -> Found | None:
    host = snapshot.get(Host, unit.host) if unit.host is not None else None
    if host is None:
        return None
    engine_name = status.id if status is not None and status.id else name
    known_as = unit.known_as if status is None or not status.role else ""
    if engine_name == known_as:
        engine_name = unit.name
    named = status is not None and bool(status.id) and status.name.removeprefix("/") == name
    said = name if unit.standalone and named else ""
    return Found(host=host, engine_name=engine_name, unit=unit, known_as=known_as, said=said)
