"""Networks of a stack, and how a service's containers are attached to them."""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

import msgspec

from paddock.model.specs import Attachment, NetworkSpec, PortSpec, Sharing

from .findings import Findings, Json, Service

_DRIVERS = ("", "default", "bridge", "overlay")
_ENGINE_NETWORKS = ("host", "none", "bridge")


class Networking(NamedTuple):
    """`beside` names a container of another stack whose network is shared, and beside which this one must run."""

    mode: str = ""
    attachments: tuple[Attachment, ...] = ()
    sharing: tuple[Sharing, ...] = ()
    beside: str = ""


def network_specs(model: Json, findings: Findings) -> dict[str, NetworkSpec]:
    """Without those that stand for the engine's own (`external` and named host, none or bridge)."""
    networks = {key: network or {} for key, network in (model.get("networks") or {}).items()}
    return {
        key: _network(key, network, model["name"], findings)
        for key, network in networks.items()
        if not _engine_network(network)
    }


def _engine_network(network: Json) -> str:
    """An external network with the name of one of the engine's own is that one, as Swarm's users write it."""
    name = str(network.get("name", ""))
    return name if network.get("external") and name in _ENGINE_NETWORKS else ""


def _network(key: str, network: Json, project: str, findings: Findings) -> NetworkSpec:
    name = network.get("name") or f"{project}_{key}"
    if network.get("external"):
        return NetworkSpec(name=name, external=True)
    driver = network.get("driver") or ""
    if driver not in _DRIVERS:
        message = f"the driver {driver!r} is not available: networks of a cluster span its hosts"
        findings.problem(("networks", key, "driver"), message, "leave `driver` away")
    pools = _pools(key, network, findings)
    if any(":" in subnet for subnet in pools.subnets) and not network.get("enable_ipv6"):
        findings.warn(("networks", key, "ipam"), "its IPv6 subnet has no effect without `enable_ipv6: true`")
    labels = {label: str(value) for label, value in (network.get("labels") or {}).items()}
    return NetworkSpec(
        name=name,
        driver=driver,
        internal=bool(network.get("internal")),
        attachable=bool(network.get("attachable")),
        enable_ipv6=bool(network.get("enable_ipv6")),
        subnets=pools.subnets,
        ip_range=pools.ip_range,
        gateway=pools.gateway,
        ip_range6=pools.ip_range6,
        gateway6=pools.gateway6,
        options={option: str(value) for option, value in (network.get("driver_opts") or {}).items()},
        labels=labels | {"com.docker.compose.network": key, "com.docker.compose.project": project},
    )


class _Pools(NamedTuple):
    subnets: tuple[str, ...] = ()
    ip_range: str = ""
    gateway: str = ""
    ip_range6: str = ""
    gateway6: str = ""


def _pools(key: str, network: Json, findings: Findings) -> _Pools:
    ipam = network.get("ipam") or {}
    if ipam.get("driver") not in (None, "", "default"):
        message = f"the address driver {ipam['driver']!r} is not available: addresses are given by the cluster"
        findings.problem(("networks", key, "ipam", "driver"), message, "leave `driver` away")
    if ipam.get("options"):
        findings.warn(("networks", key, "ipam", "options"), "has no effect: addresses are given by the cluster")
    subnets: list[str] = []
    asked = {"ip_range": "", "gateway": "", "ip_range6": "", "gateway6": ""}
    for index, pool in enumerate(ipam.get("config") or []):
        path = ("networks", key, "ipam", "config", index)
        if pool.get("aux_addresses"):
            message = "addresses cannot be set aside one by one"
            findings.problem((*path, "aux_addresses"), message, "use `ip_range` to say which ones may be given")
        for field in ("subnet", "ip_range"):
            _check_subnet(pool.get(field), (*path, field), findings)
        if pool.get("subnet"):
            subnets.append(pool["subnet"])
        for field in ("ip_range", "gateway"):
            value = str(pool.get(field) or "")
            kind = f"{field}6" if ":" in value else field
            asked[kind] = asked[kind] or value
    return _Pools(tuple(subnets), **asked)


def _check_subnet(subnet: Any, path: tuple[str | int, ...], findings: Findings) -> None:
    try:
        ipaddress.ip_network(subnet or "0.0.0.0/0", strict=False)
    except ValueError:
        findings.problem(path, f"{subnet!r} is not a subnet such as 10.5.0.0/24")


def networking(service: Service, model: Json) -> Networking:
    mode = service.config.get("network_mode") or ""
    if mode:
        return _by_mode(service, mode, model)
    networks = {key: value or {} for key, value in (service.config.get("networks") or {}).items()}
    declared = {key: value or {} for key, value in (model.get("networks") or {}).items()}
    if not networks:
        networks = {"default": {}} if "default" in declared else {}
    if not networks:
        return Networking(mode="none")
    engine = [name for name in (_engine_network(declared.get(key, {})) for key in networks) if name]
    if engine and len(networks) == 1:
        return Networking(mode=engine[0])
    if engine:
        service.problem("networks", message=f"the engine's network {engine[0]!r} cannot be combined with others")
    order = sorted(networks, key=lambda key: (-int(networks[key].get("priority") or 0), key))
    attachments = [_attachment(service, key, networks[key]) for key in order]
    return Networking(attachments=_with_service_mac(service, attachments))


def _by_mode(service: Service, mode: str, model: Json) -> Networking:
    kind, _, name = mode.partition(":")
    if kind == "service":
        return Networking(sharing=(Sharing(what="network", service=name),))
    if kind == "container":
        owner = service_of_container(name, model)
        if owner:
            return Networking(sharing=(Sharing(what="network", service=owner),))
        return Networking(mode=mode, beside=name)
    if mode not in _ENGINE_NETWORKS:
        hint = "use host, none, bridge, service:NAME or container:NAME; name networks under `networks:`"
        service.problem("network_mode", message=f"{mode!r} is not known", hint=hint)
    return Networking(mode=mode)


def service_of_container(container: str, model: Json) -> str:
    """The service of this stack whose `container_name` that is, or ""."""
    services = model.get("services") or {}
    return next((name for name in sorted(services) if services[name].get("container_name") == container), "")


def _attachment(service: Service, key: str, network: Json) -> Attachment:
    for field in ("gw_priority", "interface_name"):
        if network.get(field):
            service.warn("networks", key, field, message="is not supported and has no effect")
    return Attachment(
        network=key,
        aliases=tuple(network.get("aliases") or ()),
        ipv4_address=network.get("ipv4_address") or "",
        ipv6_address=network.get("ipv6_address") or "",
        mac_address=network.get("mac_address") or "",
        link_local_ips=tuple(network.get("link_local_ips") or ()),
        priority=int(network.get("priority") or 0),
        driver_opts={option: str(value) for option, value in (network.get("driver_opts") or {}).items()},
    )


def _with_service_mac(service: Service, attachments: list[Attachment]) -> tuple[Attachment, ...]:
    """A service's own `mac_address` is that of its first network."""
    mac = service.config.get("mac_address") or ""
    first, *others = attachments
    if mac and first.mac_address and first.mac_address != mac:
        message = f"should be the same as that of the network {first.network} ({first.mac_address})"
        service.problem("mac_address", message=message)
    first = msgspec.structs.replace(first, mac_address=first.mac_address or mac)
    return (first, *others)


def ports_of(service: Service, networking: Networking) -> tuple[PortSpec, ...]:
    ports = service.config.get("ports") or []
    shared = bool(networking.sharing) or networking.mode.startswith("container:")
    if ports and shared:
        hint = "publish them on the service whose network it is"
        service.problem("ports", message="a service in another one's network cannot publish ports", hint=hint)
    elif ports and networking.mode in ("host", "none"):
        service.warn("ports", message=f"has no effect with network_mode {networking.mode}")
        return ()
    return tuple(
        PortSpec(
            target=int(port["target"]),
            published=str(port.get("published") or ""),
            protocol=port.get("protocol") or "tcp",
            host_ip=port.get("host_ip") or "",
        )
        for port in ports
    )
