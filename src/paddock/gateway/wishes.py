"""A create body read: what the scheduler has to know of it, what is the engine's alone, and whom it leans on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from paddock.core.standalone import HOME_NETWORK
from paddock.gateway.problems import ApiProblem
from paddock.model.specs import (
    Attachment,
    ContainerSpec,
    Placement,
    PortSpec,
    Resources,
    RestartPolicy,
    ServiceSpec,
    VolumeMount,
)

Json = dict[str, Any]
ENGINE_MODES = ("bridge", "host", "none")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is the container's own, without placement. `name` is checked. `links`: `NAME:ALIAS`."""

    name: str
    body: Json
    placement: Placement
    platform: str = ""
    reschedule: Literal["", "on-node-failure"] = ""
    links: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Of `VolumesFrom`, by their engines' names: they have no volumes and another host, so the engine is not told."""


def host_config(body: Json) -> Json:
    found = body.get("HostConfig") or {}
    if not isinstance(found, dict):
        raise ApiProblem(400, "HostConfig must be an object")
    return found


def leans_on(body: Json) -> list[str]:
    """Containers whose namespaces or volumes it wants, as the client calls them: it has to be on their host."""
    found = namespaces_of(body)
    found += [str(entry).partition(":")[0] for entry in host_config(body).get("VolumesFrom") or ()]
    return list(dict.fromkeys(name for name in found if name))


def namespaces_of(body: Json) -> list[str]:
    """Those whose namespaces it wants."""
    host = host_config(body)
    return [str(host.get(key) or "").partition(":")[2] for key in SHARED if _shares(host, key)]


SHARED = ("NetworkMode", "IpcMode", "PidMode")


def _shares(host: Json, key: str) -> bool:
    return str(host.get(key) or "").startswith("container:")


def partners_of_links(body: Json) -> list[str]:
    return [str(link) for link in host_config(body).get("Links") or ()]


def endpoints_asked(body: Json) -> Json:
    found = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    if not isinstance(found, dict):
        raise ApiProblem(400, "EndpointsConfig must be an object")
    return {HOME_NETWORK if name == "default" else name: endpoint for name, endpoint in found.items()}


def with_partners(body: Json, ids: dict[str, str]) -> Json:
    """The body with `container:NAME` and volumes-from under the ids the engine knows; `ids`: as asked -> id."""
    host = dict(host_config(body))
    for key in SHARED:
        if _shares(host, key):
            host[key] = f"container:{ids[str(host[key]).partition(':')[2]]}"
    if host.get("VolumesFrom"):
        host["VolumesFrom"] = [_renamed(str(entry), ids) for entry in host["VolumesFrom"]]
    return {**body, "HostConfig": host}


def _renamed(entry: str, ids: dict[str, str]) -> str:
    name, colon, rest = entry.partition(":")
    return f"{ids[name]}{colon}{rest}"


def for_engine(wish: Wish) -> Json:
    """The body without those of `VolumesFrom` who have nothing to give and are on another host."""
    host = host_config(wish.body)
    if not wish.without:
        return wish.body
    left = [entry for entry in host["VolumesFrom"] if str(entry).partition(":")[0] not in wish.without]
    return {**wish.body, "HostConfig": {**host, "VolumesFrom": left}}


def service_spec(wish: Wish) -> ServiceSpec:
    body, host = wish.body, host_config(wish.body)
    mode = network_mode(body)
    container = ContainerSpec(
        image=str(body.get("Image") or ""),
        config=body,
        platform=wish.platform,
        networks=() if mode else attachments(body),
        network_mode=mode,
        ports=tuple(_ports(host)) if mode != "host" else tuple(_exposed(body)),
        volumes=tuple(_volumes(host)),
        has_healthcheck=bool(body.get("Healthcheck")),
    )
    return ServiceSpec(
        name=wish.name,
        container=container,
        mode="standalone",
        reschedule=wish.reschedule,
        container_name=wish.name,
        restart=RestartPolicy(condition="none", engine=True),
        placement=wish.placement,
        links=wish.links,
        reservation=Resources(cpu_milli=0, memory_bytes=int(host.get("MemoryReservation") or 0)),
        labels={str(key): str(value) for key, value in (body.get("Labels") or {}).items()},
    )


def network_mode(body: Json) -> str:
    """ "" for networks of the cluster, else the engine's own word."""
    mode = str(host_config(body).get("NetworkMode") or "default")
    return mode if mode in ENGINE_MODES or mode.startswith("container:") else ""


def attachments(body: Json) -> tuple[Attachment, ...]:
    """The network asked for first, then the others, each with what is said of it."""
    mode = str(host_config(body).get("NetworkMode") or "default")
    asked = endpoints_asked(body)
    names = [] if mode == "default" and asked else [HOME_NETWORK if mode == "default" else mode]
    names += [name for name in asked if name not in names]
    return tuple(attachment(name, asked.get(name) or {}, body) for name in names)


def attachment(network: str, endpoint: Json, body: Json | None = None) -> Attachment:
    ipam = endpoint.get("IPAMConfig") or {}
    return Attachment(
        network=network,
        aliases=tuple(str(alias) for alias in endpoint.get("Aliases") or ()),
        ipv4_address=str(ipam.get("IPv4Address") or ""),
        ipv6_address=str(ipam.get("IPv6Address") or ""),
        mac_address=str(endpoint.get("MacAddress") or (body or {}).get("MacAddress") or ""),
        link_local_ips=tuple(str(ip) for ip in ipam.get("LinkLocalIPs") or ()),
        driver_opts={str(key): str(value) for key, value in (endpoint.get("DriverOpts") or {}).items()},
        links=tuple(str(link) for link in endpoint.get("Links") or ()),
    )


def _ports(host: Json) -> Iterator[PortSpec]:
    for target, bindings in (host.get("PortBindings") or {}).items():
        port, _, protocol = str(target).partition("/")
        if not port.isdigit():
            raise ApiProblem(400, f"invalid port specification: {target!r}")
        for binding in bindings or ():
            yield PortSpec(
                target=int(port),
                published=str(binding.get("HostPort") or ""),
                protocol=protocol or "tcp",
                host_ip=str(binding.get("HostIp") or ""),
            )


def _exposed(body: Json) -> Iterator[PortSpec]:
    """On the host's own network whatever is exposed is taken there, as classic Swarm's port filter had it."""
    for target in body.get("ExposedPorts") or {}:
        port, _, protocol = str(target).partition("/")
        if port.isdigit():
            yield PortSpec(target=int(port), published=port, protocol=protocol or "tcp")


def volumes_named(body: Json) -> list[str]:
    return list(dict.fromkeys(mount.volume for mount in _volumes(host_config(body))))


def _volumes(host: Json) -> Iterator[VolumeMount]:
    """Named ones, which are the cluster's; paths and nameless ones are its host's own affair."""
    for bind in host.get("Binds") or ():
        source, _, rest = str(bind).partition(":")
        if source and rest and not source.startswith(("/", "~", ".")):
            target, _, options = rest.partition(":")
            yield VolumeMount(volume=source, target=target, read_only="ro" in options.split(","))
    for mount in host.get("Mounts") or ():
        if mount.get("Type") == "volume" and mount.get("Source"):
            yield VolumeMount(
                volume=str(mount["Source"]),
                target=str(mount.get("Target") or ""),
                read_only=bool(mount.get("ReadOnly")),
            )
