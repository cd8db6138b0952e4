"""Networks of the cluster as Docker's clients see them: made once, wherever their containers land.

The engines' own `bridge`, `host` and `none` are listed too, since clients look for them.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from paddock.core.assignment import mac_for
from paddock.core.draft import GONE
from paddock.core.standalone import HOME_NETWORK, id_of, new_network
from paddock.core.subnets import ipv4_subnets, own_network_of_a_host
from paddock.gateway import shapes
from paddock.gateway.call import Api, Call
from paddock.gateway.client import Answer
from paddock.gateway.departed import any_gone
from paddock.gateway.filters import Filters, labels_match, parse_filters
from paddock.gateway.finding import cluster_id
from paddock.gateway.problems import ApiProblem, no_such
from paddock.gateway.router import Router
from paddock.gateway.shapes import check_shape
from paddock.model.changes import Change, Put
from paddock.model.errors import Conflict
from paddock.model.objects import HostId, Network, NetworkId, Revision, Unit
from paddock.model.snapshot import Snapshot
from paddock.model.specs import NetworkSpec

Json = dict[str, Any]
OF_ENGINES = ("bridge", "host", "none")
DRIVERS = ("", "bridge", "overlay", "default")


def register(router: Router) -> None:
    router.add("GET", "/networks", listed)
    router.add("POST", "/networks/create", create)
    router.add("POST", "/networks/prune", prune)
    router.add("GET", "/networks/{name}", inspected)
    router.add("DELETE", "/networks/{name}", remove)


# Finding and showing


def network_called(snapshot: Snapshot, environment: str, name: str) -> Network:
    """By name, id or the beginning of an id. Raises `ApiProblem`."""
    known = snapshot.named(Network, environment, name)
    if known is not None and not known.removing:
        return known
    everyone = [network for network in snapshot.in_environment(Network, environment) if not network.removing]
    found = [network for network in everyone if name and id_of("network", network.id).startswith(name)]
    if len(found) > 1:
        raise ApiProblem(400, f"network {name} is ambiguous ({len(found)} matches found on ID prefix)")
    if not found:
        raise no_such("network", name)
    return found[0]


def time_text(at_s: float) -> str:
    """RFC 3339 as the engine writes it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def network_view(snapshot: Snapshot, network: Network, api: Api, containers: Json) -> Json:
    configs: list[Json] = [{"Subnet": network.subnet}] if network.subnet else []
    if configs and network.spec.gateway:
        configs[0]["Gateway"] = network.spec.gateway
    if configs and network.spec.ip_range:
        configs[0]["IPRange"] = network.spec.ip_range
    if configs and network.spec.aux_addresses:
        configs[0]["AuxiliaryAddresses"] = dict(network.spec.aux_addresses)
    if network.subnet6:
        six = {"Subnet": network.subnet6, "IPRange": network.spec.ip_range6, "Gateway": network.spec.gateway6}
        configs.append({key: value for key, value in six.items() if value})
    driver = network.spec.driver if network.spec.driver not in ("", "default") else "bridge"
    return {
        "Name": network.name,
        "Id": id_of("network", network.id),
        "Created": time_text(network.created_at_s),
        "Scope": "swarm" if driver == "overlay" else "local",
        "Driver": driver,
        **({"EnableIPv4": True} if api >= (1, 47) else {}),
        "EnableIPv6": network.spec.enable_ipv6,
        "IPAM": {"Driver": "default", "Options": None, "Config": configs},
        "Internal": network.spec.internal,
        "Attachable": network.spec.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers,
        "Options": dict(network.spec.options),
        "Labels": dict(network.spec.labels),
    }


def _containers(call: Call, snapshot: Snapshot, network: Network) -> Json:
    """Container id -> its end on the network, of those that run or are being started."""
    found: Json = {}
    bits = network.subnet.partition("/")[2]
    for unit in snapshot.units_on_network(NetworkId(network.id)):
        if unit.state in GONE:
            continue
        address = unit.addresses[NetworkId(network.id)]
        for id, name in _running(call, unit):
            found[id] = {
                "Name": name.removeprefix("/") or unit.name,
                "EndpointID": id_of("endpoint", f"{network.id}/{unit.id}"),
                "MacAddress": mac_for(snapshot, NetworkId(network.id), unit),
                "IPv4Address": f"{address}/{bits}",
                "IPv6Address": _with_bits(unit.addresses6.get(NetworkId(network.id), ""), network.subnet6),
            }
    return found


def _running(call: Call, unit: Unit) -> list[tuple[str, str]]:
    own = [(cluster_id(unit, one), one.name, one.state) for one in unit.containers if not one.role and one.id]
    if unit.starting:
        id = own[0][0] if own else call.gateway.finder.ids.get(unit.id)
        return [(id, unit.name)] if id else []
    return [(id, name) for id, name, state in own if state in ("running", "paused")]


def _with_bits(address: str, subnet: str) -> str:
    return f"{address}/{subnet.partition('/')[2]}" if address else ""


async def of_engines(call: Call) -> list[Json]:
    """`bridge`, `host` and `none` as one engine has them."""
    host = call.gateway.hosts.any(call.environment)
    engine = call.cluster.engine(HostId(host.id))
    found: list[Json] = await engine.json("GET", "/networks", query={"filters": '{"type":{"builtin":true}}'})
    return [network for network in found if network.get("Name") in OF_ENGINES]


async def listed(call: Call) -> Answer:
    filters = parse_filters(call.head.asked("filters"))
    snapshot = call.cluster.snapshot()
    views = [
        network_view(snapshot, network, call.api, {})
        for network in snapshot.in_environment(Network, call.environment)
        if not network.removing
    ]
    views += await of_engines(call)
    used = _used_names(snapshot, call.environment)
    return Answer(200, [view for view in views if _fits(view, filters, used)])


def _used_names(snapshot: Snapshot, environment: str) -> dict[str, None]:
    networks = snapshot.in_environment(Network, environment)
    return dict.fromkeys(network.name for network in networks if _in_use(snapshot, network))


def _fits(view: Json, filters: Filters, used: dict[str, None]) -> bool:
    for name, values in filters.items():
        match name:
            case "name":
                fits = any(value in view["Name"] for value in values)
            case "id":
                fits = any(view["Id"].startswith(value) for value in values)
            case "driver":
                fits = view["Driver"] in values
            case "scope":
                fits = view["Scope"] in values
            case "type":
                fits = ("builtin" if view["Name"] in OF_ENGINES else "custom") in values
            case "dangling":
                dangling = view["Name"] not in used and view["Name"] not in OF_ENGINES
                fits = dangling == any(value in ("true", "1") for value in values)
            case "label" | "label!":
                fits = labels_match(filters, view.get("Labels") or {})
            case _:
                raise ApiProblem(400, f"invalid filter '{name}'")
        if not fits:
            return False
    return True


async def inspected(call: Call) -> Answer:
    name = call.params["name"]
    try:
        network = network_called(call.cluster.snapshot(), call.environment, name)
    except ApiProblem as error:
        for view in await of_engines(call):
            if view["Name"] == name or (len(name) >= 4 and view["Id"].startswith(name)):
                return Answer(200, {**view, "Containers": {}})
        raise error
    snapshot = call.cluster.snapshot()
    return Answer(200, network_view(snapshot, network, call.api, _containers(call, snapshot, network)))


# Making and removing


async def create(call: Call) -> Answer:
    body = await call.json_object()
    check_shape(body, shapes.Network)
    spec = network_spec(body)

    def decide(snapshot: Snapshot) -> tuple[list[Change], Network]:
        _check_subnets(snapshot, call.environment, spec)
        network, changes = new_network(snapshot, call.environment, spec, call.cluster.world.now_s())
        if not network.subnet:
            raise ApiProblem(403, "could not find an available, non-overlapping IPv4 address pool for the network")
        return changes, network

    try:
        network, _ = await call.cluster.commit(decide)
    except Conflict as error:
        raise ApiProblem(409, error.message) from error
    return Answer(201, {"Id": id_of("network", network.id), "Warning": ""})


def network_spec(body: Json) -> NetworkSpec:
    """Raises `ApiProblem`."""
    name = str(body.get("Name") or "")
    if not name.strip():
        raise ApiProblem(400, "network name is required")
    if name in OF_ENGINES or name == "default":
        raise ApiProblem(403, f"operation is not permitted on predefined {name} network")
    driver = str(body.get("Driver") or "")
    if driver not in DRIVERS:
        raise ApiProblem(404, f"network driver {driver} is not one of the cluster's: use bridge or overlay")
    configs = (body.get("IPAM") or {}).get("Config") or []
    four: Json = next((one for one in configs if ":" not in str(one.get("Subnet") or "")), {})
    six: Json = next((one for one in configs if ":" in str(one.get("Subnet") or "")), {})
    auxiliary = {str(key): str(value) for key, value in (four.get("AuxiliaryAddresses") or {}).items()}
    for key, address in auxiliary.items():
        if not _is_address(address):
            raise ApiProblem(400, f"invalid auxiliary address {key}: {address!r} is not an address such as 10.20.0.9")
    return NetworkSpec(
        name=name,
        driver=driver,
        internal=bool(body.get("Internal")),
        attachable=bool(body.get("Attachable")),
        enable_ipv6=bool(body.get("EnableIPv6")),
        subnets=tuple(str(config["Subnet"]) for config in configs if config.get("Subnet")),
        ip_range=str(four.get("IPRange") or ""),
        gateway=str(four.get("Gateway") or ""),
        ip_range6=str(six.get("IPRange") or ""),
        gateway6=str(six.get("Gateway") or ""),
        aux_addresses=auxiliary,
        options={str(key): str(value) for key, value in (body.get("Options") or {}).items()},
        labels={str(key): str(value) for key, value in (body.get("Labels") or {}).items()},
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_subnets(snapshot: Snapshot, environment: str, spec: NetworkSpec) -> None:
    asked = list(ipv4_subnets(spec.subnets))
    if spec.subnets and not asked and not spec.enable_ipv6:
        raise ApiProblem(400, f"invalid subnet {spec.subnets[0]}: give an IPv4 network such as 10.20.0.0/16")
    for wanted in asked:
        if in_the_way := own_network_of_a_host(snapshot, environment, wanted):
            raise ApiProblem(403, f"Pool overlaps with other one on this address space: {in_the_way}")
    for other in snapshot.in_environment(Network, environment):
        for subnet in ipv4_subnets([other.subnet] if other.subnet else []):
            if any(subnet.overlaps(wanted) for wanted in asked):
                raise ApiProblem(
                    403, f"Pool overlaps with other one on this address space: network {other.name} has {subnet}"
                )


def _in_use(snapshot: Snapshot, network: Network) -> bool:
    units = snapshot.units_on_network(NetworkId(network.id))
    if any(unit.state not in GONE for unit in units):
        return True
    revisions = snapshot.in_environment(Revision, network.environment)
    return any(network.id in revision.networks.values() for revision in revisions)


async def remove(call: Call) -> Answer:
    name = call.params["name"]
    if name in OF_ENGINES:
        raise ApiProblem(403, f"{name} is a pre-defined network and cannot be removed")

    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        network = network_called(snapshot, call.environment, name)
        if _in_use(snapshot, network):
            id = id_of("network", network.id)
            raise ApiProblem(403, f"error while removing network: network {network.name} id {id} has active endpoints")
        return [Put(object=replace(network, removing=True), reason="removed through the Docker API")], None

    try:
        await call.cluster.commit(decide)
    except ApiProblem as problem:
        snapshot = call.cluster.snapshot()
        network = network_called(snapshot, call.environment, name)
        if problem.status != 403 or not await any_gone(call, snapshot.units_on_network(NetworkId(network.id))):
            raise
        await call.cluster.commit(decide)
    return Answer(204)


async def prune(call: Call) -> Answer:
    filters = parse_filters(call.head.asked("filters"))

    def decide(snapshot: Snapshot) -> tuple[list[Change], list[str]]:
        unused = [
            network
            for network in snapshot.in_environment(Network, call.environment)
            if not network.removing
            and not network.stack
            and network.name != HOME_NETWORK
            and labels_match(filters, network.spec.labels)
            and not _in_use(snapshot, network)
        ]
        changes: list[Change] = [
            Put(object=replace(network, removing=True), reason="pruned through the Docker API") for network in unused
        ]
        return changes, [network.name for network in unused]

    names, _ = await call.cluster.commit(decide)
    return Answer(200, {"NetworksDeleted": names or None})
