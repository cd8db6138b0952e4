"""Between our types and the Engine API's JSON. Pure, so that tables test it."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any, NamedTuple, cast

from paddock.model.assignment import Endpoint, NetworkAssignment
from paddock.model.objects import UnitId
from paddock.model.observed import (
    NAME_LABEL,
    NETWORK_LABEL,
    ROLE_LABEL,
    UNIT_LABEL,
    ContainerState,
    ObservedContainer,
)
from paddock.model.steps import ConnectNetwork, CreateContainer

DEFAULT_RETRIES = 3
"""Failures in a row that the engine calls unhealthy, where nothing else is written (daemon/health.go)."""

Json = dict[str, Any]

SEVERAL_NETWORKS_SINCE = (1, 44)
"""Before, an engine takes one network at creation, and that one's MAC address in the container's own config."""


def create_body(step: CreateContainer, api: tuple[int, int]) -> Json:
    container = step.container
    body = copy.deepcopy(container.body)
    body["Image"] = container.image
    body["Labels"] = {
        **(body.get("Labels") or {}),
        UNIT_LABEL: step.unit,
        ROLE_LABEL: container.role,
        NAME_LABEL: container.name,
    }
    host: Json = body.setdefault("HostConfig", {})
    if step.binds:
        host["Mounts"] = [*(host.get("Mounts") or []), *map(_file_mount, step.binds.items())]
    if container.network_mode:
        host["NetworkMode"] = container.network_mode
    if container.endpoints:
        _add_networks(body, step, api)
    return body


def _file_mount(bind: tuple[str, str]) -> Json:
    return {"Type": "bind", "Source": bind[0], "Target": bind[1], "ReadOnly": True}


def _add_networks(body: Json, step: CreateContainer, api: tuple[int, int]) -> None:
    host = body["HostConfig"]
    endpoints = step.container.endpoints
    first = step.networks[endpoints[0].network]
    host["NetworkMode"] = first.engine_name
    host["Dns"] = [first.gateway]
    host["DnsSearch"] = host.get("DnsSearch") or ["."]
    at_once = endpoints if api >= SEVERAL_NETWORKS_SINCE else endpoints[:1]
    if api < SEVERAL_NETWORKS_SINCE and endpoints[0].mac:
        body["MacAddress"] = endpoints[0].mac
    body["NetworkingConfig"] = {
        "EndpointsConfig": {
            step.networks[endpoint.network].engine_name: _endpoint(endpoint, api) for endpoint in at_once
        }
    }


def _endpoint(endpoint: Endpoint | ConnectNetwork, api: tuple[int, int]) -> Json:
    ipam: Json = {}
    if endpoint.ipv4:
        ipam["IPv4Address"] = endpoint.ipv4
    if endpoint.ipv6:
        ipam["IPv6Address"] = endpoint.ipv6
    if endpoint.link_local_ips:
        ipam["LinkLocalIPs"] = list(endpoint.link_local_ips)
    config: Json = {"IPAMConfig": ipam}
    if endpoint.driver_opts:
        config["DriverOpts"] = endpoint.driver_opts
    if endpoint.mac and api >= SEVERAL_NETWORKS_SINCE:
        config["MacAddress"] = endpoint.mac
    return config


def connect_body(step: ConnectNetwork, api: tuple[int, int]) -> Json:
    return {"Container": step.container, "EndpointConfig": _endpoint(step, api)}


def bridge_of(network: NetworkAssignment) -> str:
    """The bridge device of a cluster network: at most 15 characters, unique because the VNI is."""
    return f"pdk{network.vni:x}"


def network_body(network: NetworkAssignment) -> Json:
    return {
        "Name": network.engine_name,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": network.internal,
        "Attachable": network.attachable,
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {"Driver": "default", "Config": _pools(network)},
        "Options": {
            "com.docker.network.driver.mtu": str(network.mtu),
            **network.options,
            "com.docker.network.bridge.name": bridge_of(network),
        },
        "Labels": {**network.labels, NETWORK_LABEL: network.network},
    }


def _pools(network: NetworkAssignment) -> list[Json]:
    pools = [{"Subnet": network.subnet, "IPRange": network.ip_range, "Gateway": network.gateway}]
    if network.subnet6:
        pools.append({"Subnet": network.subnet6, "IPRange": network.ip_range6, "Gateway": network.gateway6})
    return pools


def same_network(found: Json, wanted: NetworkAssignment) -> bool:
    """What cannot be changed on an existing network is as it should be."""
    body = network_body(wanted)
    configs = (found.get("IPAM") or {}).get("Config") or [{}]
    pools: list[Json] = body["IPAM"]["Config"]
    options = found.get("Options") or {}
    return (
        len(configs) == len(pools)
        and all(there.get(key) == pool[key] for there, pool in zip(configs, pools, strict=True) for key in pool)
        and bool(found.get("EnableIPv6")) == bool(wanted.subnet6)
        and all(options.get(key) == value for key, value in body["Options"].items())
        and bool(found.get("Internal")) == wanted.internal
    )


def observed(found: Json, *, interrupted: bool = False) -> ObservedContainer:
    """From `GET /containers/ID/json`."""
    state: Json = found["State"]
    labels: dict[str, str] = found["Config"].get("Labels") or {}
    name = str(found["Name"]).lstrip("/")
    return ObservedContainer(
        id=found["Id"],
        name=name,
        state=cast(ContainerState, state["Status"]),
        unit=_unit_of(name, labels),
        role=labels.get(ROLE_LABEL, ""),
        image=found["Config"].get("Image", ""),
        exit_code=state.get("ExitCode"),
        interrupted=interrupted,
        error=state.get("Error", ""),
        oom_killed=state.get("OOMKilled", False),
        health=_health(state, (found["Config"].get("Healthcheck") or {}).get("Retries") or DEFAULT_RETRIES),
        restarts=found.get("RestartCount", 0),
        restart_policy=((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name", ""),
        started_at_s=seconds(state.get("StartedAt", "")),
        finished_at_s=seconds(state.get("FinishedAt", "")),
        networks={key: _address(value) for key, value in (_settings(found).get("Networks") or {}).items()},
        ports=_ports(_settings(found).get("Ports") or {}),
    )


def _unit_of(name: str, labels: dict[str, str]) -> UnitId | None:
    """None for containers that only inherited our labels from an image committed from one of ours."""
    made_as = labels.get(NAME_LABEL)
    if UNIT_LABEL not in labels or made_as is None:
        return None
    if name != made_as and not name.startswith(f"{made_as}_old_"):
        return None
    return UnitId(labels[UNIT_LABEL])


def _settings(found: Json) -> Json:
    return found.get("NetworkSettings") or {}


def _health(state: Json, retries: int) -> str:
    """The engine says "unhealthy" also once it has stopped to ask, as of a paused container, until it asks again."""
    health = state.get("Health") or {}
    status = str(health.get("Status", ""))
    if status == "unhealthy" and health.get("FailingStreak", 0) < retries:
        return "starting"
    return "" if status == "none" else status


def _address(endpoint: Json) -> str:
    asked = endpoint.get("IPAMConfig") or {}
    return str(endpoint.get("IPAddress") or asked.get("IPv4Address") or "")


class _Binding(NamedTuple):
    host_ip: str
    host_port: str
    target: str

    def __str__(self) -> str:
        address = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{address}:{self.host_port}->{self.target}"


def _ports(ports: Json) -> tuple[str, ...]:
    bindings = [
        _Binding(binding.get("HostIp", ""), binding.get("HostPort", ""), target)
        for target, found in ports.items()
        for binding in found or ()
    ]
    return tuple(str(binding) for binding in sorted(bindings))


def seconds(text: str) -> float:
    """Seconds since the epoch of an engine's time; 0.0 for its zero time."""
    if not text or text.startswith("0001-"):
        return 0.0
    return datetime.fromisoformat(text).timestamp()


def split_image(reference: str) -> Json:
    """Query of a pull: `fromImage` and `tag`, which may be a digest."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return {"fromImage": name, "tag": digest}
    name, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return {"fromImage": reference, "tag": "latest"}
    return {"fromImage": name, "tag": tag}
