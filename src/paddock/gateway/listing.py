"""`GET /containers/json`: every host's own list, put together as if it were one engine's."""

from __future__ import annotations

from typing import Any

from paddock.core.standalone import HOME_NETWORK, id_of
from paddock.gateway import remembered
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.filters import Filters, encode_filters, parse_filters
from paddock.gateway.hosts import answered
from paddock.gateway.problems import ApiProblem, status_and_words
from paddock.gateway.router import Router
from paddock.model.errors import PaddockError
from paddock.model.objects import Host, HostId, Network, Unit, UnitState
from paddock.model.observed import NAME_LABEL, ROLE_LABEL, UNIT_LABEL
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, ContainerSpec

Json = dict[str, Any]
LIST_TIMEOUT_S = 5.0
"""For one host; what an engine that hangs has is said as it was last known."""
HIDDEN_LABELS = (UNIT_LABEL, ROLE_LABEL, NAME_LABEL)
"""How our agents know their containers; nobody else's business."""
STACK_LABEL = "io.paddock.stack"
STACKS_LABELS = ("io.paddock.service", "io.paddock.environment")
"""They tell stacks' containers apart; one that was just run has the labels its user gave it."""

OF_DEFAULT = (
    "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "MacAddress",
)  # fmt: skip
"""What `NetworkSettings` says a second time of the network that containers are on when they ask for none."""


def register(router: Router) -> None:
    router.add("GET", "/containers/json", containers)


async def containers(call: Call) -> Answer:
    filters = parse_filters(call.head.asked("filters"))
    nodes = filters.pop("node", [])
    limit = _limit(call)
    hosts = [host for host in call.gateway.hosts.reachable(call.environment) if not nodes or host.name in nodes]
    query: dict[str, str | int | bool] = {"all": call.head.wants("all"), "size": call.head.wants("size")}
    if limit > 0:
        query["limit"] = limit
    if filters:
        query["filters"] = encode_filters(_for_engines(call, filters))

    async def ask(host: Host) -> list[Json]:
        found: list[Json] = await call.cluster.engine(HostId(host.id)).json("GET", "/containers/json", query=query)
        return found

    told = await call.gateway.hosts.ask_each(hosts, ask, LIST_TIMEOUT_S)
    refuse_if_all_did(told)
    snapshot = call.cluster.snapshot()
    rewriting = Rewriting(snapshot, call.environment)
    found = [(host, container) for host, containers in answered(told) for container in containers]
    found.sort(key=lambda one: newest_first(snapshot, one[1]))
    merged = [rewriting.listed(host, container) for host, container in found if not rewriting.left_over(container)]
    if call.head.wants("all") or "status" in filters:
        merged += _out_of_sight(call, [host for host, _ in answered(told)], nodes, filters)
        merged.sort(key=lambda container: -int(container.get("Created") or 0))
    return Answer(200, merged[:limit] if limit > 0 else merged)


def newest_first(snapshot: Snapshot, container: Json) -> tuple[int, float, str]:
    """Engines tell whole seconds; within one, our own time decides."""
    unit = snapshot.get(Unit, str((container.get("Labels") or {}).get(UNIT_LABEL, "")))
    ours_s = unit.created_at_s if unit is not None else 0.0
    return (-int(container.get("Created") or 0), -ours_s, str(container.get("Id")))


def _out_of_sight(call: Call, seen: list[Host], nodes: list[str], filters: Filters) -> list[Json]:
    """What is known of containers on hosts that do not answer now, as classic Swarm showed them."""
    snapshot = call.cluster.snapshot()
    answering = [host.id for host in seen]
    found = []
    for host in call.gateway.hosts.all(call.environment):
        if not nodes or host.name in nodes:
            found += remembered.listed(snapshot, host, filters, answers=host.id in answering)
    return found


def _limit(call: Call) -> int:
    text = call.head.asked("limit", "0") or "0"
    if not text.lstrip("-").isdigit() or len(text) > 9:
        raise ApiProblem(400, f"limit must be a number, not {text[:40]!r}")
    return int(text)


def _for_engines(call: Call, filters: Filters) -> Filters:
    """Networks go by ids of the cluster here and by their names there; so do containers that were made anew."""
    snapshot = call.cluster.snapshot()
    if "network" in filters:
        networks = snapshot.in_environment(Network, call.environment)
        names = {id_of("network", network.id): network.on_engines for network in networks}
        filters = {**filters, "network": [names.get(value, value) for value in filters["network"]]}
    if "id" in filters:
        filters = {**filters, "id": [id for value in filters["id"] for id in _engine_ids(snapshot, call, value)]}
    return filters


def _engine_ids(snapshot: Snapshot, call: Call, value: str) -> list[str]:
    units = snapshot.units_with_container(call.environment, value)
    anew = [unit for unit in units if unit.live and unit.known_as.startswith(value)]
    return [value, *(status.id for unit in anew if unit.known_as for status in unit.containers if not status.role)]


def refuse_if_all_did(told: list[tuple[Host, Any]]) -> None:
    """A filter that no engine understands is the client's fault; one host that is away is not."""
    errors = [error for _, error in told if isinstance(error, PaddockError)]
    if errors and len(errors) == len(told) and status_and_words(errors[0])[0] < 500:
        raise errors[0]


def given_up(snapshot: Snapshot, labels: dict[str, str]) -> bool:
    """The container's place was taken elsewhere while its host was away, and its host is about to remove it."""
    unit = snapshot.get(Unit, labels.get(UNIT_LABEL, ""))
    return unit is not None and unit.standalone and unit.state == UnitState.ORPHANED


def known_id(snapshot: Snapshot, engine_id: str, labels: dict[str, str]) -> str:
    """The id that clients know a container by, from its engine's own and its labels."""
    unit = snapshot.get(Unit, labels.get(UNIT_LABEL, ""))
    return unit.known_as if unit is not None and unit.known_as and not labels.get(ROLE_LABEL) else engine_id


def shown_labels(labels: dict[str, str]) -> dict[str, str]:
    hidden = HIDDEN_LABELS if STACK_LABEL in labels else (*HIDDEN_LABELS, *STACKS_LABELS)
    return {key: value for key, value in labels.items() if key not in hidden}


class Rewriting:
    """Engines' words about containers in the cluster's: its network ids, without the labels that are ours."""

    def __init__(self, snapshot: Snapshot, environment: str) -> None:
        self._snapshot = snapshot
        self._networks = {
            network.on_engines: id_of("network", network.id)
            for network in snapshot.in_environment(Network, environment)
        }

    def left_over(self, container: Json) -> bool:
        return given_up(self._snapshot, container.get("Labels") or {})

    def listed(self, host: Host, container: Json) -> Json:
        ports = [_reached_at(host, port, "IP") for port in container.get("Ports") or ()]
        return {
            **self._with_networks(container),
            "Id": known_id(self._snapshot, str(container.get("Id") or ""), container.get("Labels") or {}),
            "Ports": [port for port in ports if port is not None],
            "Labels": shown_labels(container.get("Labels") or {}),
            "Node": host.name,
        }

    def inspected(self, host: Host, container: Json, asked: ContainerSpec | None) -> Json:
        """`asked`: as its user wished it, before the cluster gave it addresses and servers for names."""
        told = self._with_networks(_as_asked(container, asked) if asked is not None else container)
        config = told.get("Config") or {}
        labels = shown_labels(config.get("Labels") or {})
        wanted = {one.network: one for one in asked.networks} if asked is not None else {}
        settings = dict(told.get("NetworkSettings") or {})
        settings["Ports"] = {
            target: None if bindings is None else [one for binding in bindings if (one := _reached_at(host, binding))]
            for target, bindings in (settings.get("Ports") or {}).items()
        }
        networks = settings.get("Networks") or {}
        if not settings.get("IPAddress"):
            settings |= {key: value for key, value in (networks.get(HOME_NETWORK) or {}).items() if key in OF_DEFAULT}
        settings["Networks"] = {
            name: _endpoint_as_asked(endpoint, wanted[name]) if name in wanted else endpoint
            for name, endpoint in networks.items()
        }
        id = known_id(self._snapshot, str(told.get("Id") or ""), config.get("Labels") or {})
        return {**told, "Id": id, "NetworkSettings": settings, "Config": {**config, "Labels": labels}}

    def _with_networks(self, container: Json) -> Json:
        settings = container.get("NetworkSettings")
        if not settings or not settings.get("Networks"):
            return container
        networks = {
            name: {**endpoint, "NetworkID": self._networks[name]} if name in self._networks else endpoint
            for name, endpoint in settings["Networks"].items()
        }
        return {**container, "NetworkSettings": {**settings, "Networks": networks}}


def _as_asked(container: Json, asked: ContainerSpec) -> Json:
    """The engine was told more: servers for names, and the hardware address that goes with the cluster's.

    And less: containers to take volumes from that have none.
    """
    host = asked.config.get("HostConfig") or {}
    config = {key: value for key, value in (container.get("Config") or {}).items() if key != "MacAddress"}
    if asked.config.get("MacAddress"):
        config["MacAddress"] = asked.config["MacAddress"]
    own = {key: host.get(key) for key in ("Dns", "DnsSearch")}
    if host.get("VolumesFrom"):
        own["VolumesFrom"] = host["VolumesFrom"]
    return {**container, "Config": config, "HostConfig": {**(container.get("HostConfig") or {}), **own}}


def _endpoint_as_asked(endpoint: Json, asked: Attachment) -> Json:
    aliases = list(dict.fromkeys([*asked.aliases, *(endpoint.get("Aliases") or ())]))
    ipam: Json = {"IPv4Address": asked.ipv4_address, "IPv6Address": asked.ipv6_address}
    ipam["LinkLocalIPs"] = list(asked.link_local_ips)
    ipam = {key: value for key, value in ipam.items() if value}
    return {**endpoint, "Aliases": aliases or None, "IPAMConfig": ipam or None}


def _reached_at(host: Host, port: Json, key: str = "HostIp") -> Json | None:
    """A port bound to every address of a host is reached at that host's; its twin for IPv6 says nothing more."""
    bound = port.get(key)
    if bound == "::" and host.facts.address:
        return None
    return {**port, key: host.facts.address} if bound == "0.0.0.0" and host.facts.address else port
