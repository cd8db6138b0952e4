"""What we ask an engine to create is what docker compose 2.26 asks of it, field by field, for every recorded file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paddock.core.stack import Sources, stack_spec
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec

HERE = Path(__file__).parent
PROJECT = "/srv/shop"
ENVIRONMENT = {"NULL_SET": "from the shell", "TOKEN": "t0p-secret", "HOME": "/home/ada"}
RECORDED = sorted(path.stem for path in (HERE / "recorded").glob("*.json"))

TYPED = frozenset(
    ["NetworkMode", "PortBindings", "Links", "RestartPolicy", "VolumesFrom", "IpcMode", "PidMode", "Mounts", "Binds"]
)
"""Compared by tests of their own below: they are typed in a specification, at least in part."""

ZERO_MATTERS = frozenset(["Cmd", "Entrypoint", "Init", "MaskedPaths", "ReadonlyPaths", "StopTimeout", "OomKillDisable"])
UNORDERED = frozenset(["Env", "Ulimits", "ExtraHosts"])
OWN_LABELS = ("config-hash", "container-number", "image", "project.config_files", "project.working_dir")

WIDER = {"gpus": {"DeviceRequests"}}
"""File -> fields where docker compose 2.26 drops what was written and we do not (`options` of a device)."""


def read_file(path: str) -> bytes:
    file = HERE / "cases" / path.removeprefix(PROJECT).removeprefix("/")
    return file.read_bytes()


def recorded(case: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((HERE / "recorded" / f"{case}.json").read_text())
    return answer


def translated(case: str) -> StackSpec:
    return stack_spec(recorded(case)["model"], Sources(read_file, ENVIRONMENT)).spec


def created(case: str) -> dict[str, dict[str, Any]]:
    """Service -> what docker compose sent for its first container."""
    bodies = recorded(case)["created"].values()
    first = [body for body in bodies if body["Labels"]["com.docker.compose.container-number"] == "1"]
    return {body["Labels"]["com.docker.compose.service"]: body for body in first}


def said(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing: the engine takes an absent field and its zero for the same."""
    kept: dict[str, Any] = {}
    for key, value in body.items():
        if value is None or (key not in ZERO_MATTERS and value in ("", 0, [], {}, False, [0, 0])):
            continue
        if key in UNORDERED:
            kept[key] = sorted(value, key=json.dumps)
        elif key == "Labels":
            kept[key] = labels(value)
        elif isinstance(value, dict) and key != "ExposedPorts":
            inner = said(value)
            if inner:
                kept[key] = inner
        elif key in ("Devices", "DeviceRequests", "Mounts"):
            kept[key] = [said(each) for each in value]
        else:
            kept[key] = value
    return kept


def labels(value: Mapping[str, str]) -> dict[str, str]:
    prefix = "com.docker.compose."
    kept = {key: text for key, text in value.items() if key.removeprefix(prefix) not in OWN_LABELS}
    kept[f"{prefix}depends_on"] = ",".join(sorted(kept[f"{prefix}depends_on"].split(",")))
    return kept


def comparable(body: Mapping[str, Any], case: str) -> dict[str, Any]:
    host = {key: value for key, value in body["HostConfig"].items() if key not in TYPED | WIDER.get(case, set())}
    top = {key: value for key, value in body.items() if key not in ("NetworkingConfig", "MacAddress")}
    return said(top | {"HostConfig": host})


@pytest.mark.parametrize("case", RECORDED)
def test_body_is_what_docker_compose_sends(case: str) -> None:
    spec = translated(case)
    for name, expected in created(case).items():
        assert comparable(spec.services[name].container.config, case) == comparable(expected, case), name


@pytest.mark.parametrize("case", RECORDED)
def test_replicas(case: str) -> None:
    sent = [body["Labels"]["com.docker.compose.service"] for body in recorded(case)["created"].values()]
    for name, service in translated(case).services.items():
        assert service.replicas == sent.count(name), name


@pytest.mark.parametrize("case", RECORDED)
def test_mounts(case: str) -> None:
    spec = translated(case)
    for name, expected in created(case).items():
        container = spec.services[name].container
        host = container.config["HostConfig"]
        assert sorted(host.get("Binds", []) + volume_binds(case, container, expected)) == sorted(
            expected["HostConfig"]["Binds"] or []
        ), name
        ours = host.get("Mounts", []) + typed_mounts(spec, container)
        theirs = [
            mount for mount in expected["HostConfig"].get("Mounts") or [] if not of_a_file(spec, container, mount)
        ]
        assert by_target(ours) == by_target(theirs), name


def volume_binds(case: str, container: ContainerSpec, expected: Mapping[str, Any]) -> list[str]:
    """docker compose writes a volume of the local driver that is itself a bind as a bind of the volume's name."""
    if case != "volume-as-bind":
        return []
    (volume,) = container.volumes
    assert (volume.volume, volume.target, volume.read_only) == ("host", "/data", True)
    return list(expected["HostConfig"]["Binds"])


def typed_mounts(spec: StackSpec, container: ContainerSpec) -> list[dict[str, Any]]:
    return [
        {
            "Type": "volume",
            "Source": spec.volumes[volume.volume].name,
            "Target": volume.target,
            "ReadOnly": volume.read_only,
            "VolumeOptions": {"NoCopy": volume.no_copy, "Subpath": volume.subpath},
        }
        for volume in container.volumes
        if "o" not in spec.volumes[volume.volume].driver_opts
    ]


def of_a_file(spec: StackSpec, container: ContainerSpec, mount: Mapping[str, Any]) -> bool:
    """docker compose binds the client's file where we send its content."""
    for file in container.files:
        if file.target == mount["Target"] and mount["Source"].startswith(f"{PROJECT}/files"):
            known = spec.secrets if file.kind == "secret" else spec.configs
            assert known[file.source].content == read_file(mount["Source"])
            return True
    return False


def by_target(mounts: list[dict[str, Any]]) -> dict[str, Any]:
    return {mount["Target"]: said(mount) for mount in mounts}


@pytest.mark.parametrize("case", RECORDED)
def test_ports(case: str) -> None:
    spec = translated(case)
    for name, expected in created(case).items():
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in spec.services[name].container.ports:
            binding = {"HostIp": port.host_ip, "HostPort": port.published}
            bindings.setdefault(f"{port.target}/{port.protocol}", []).append(binding)
        assert bindings == expected["HostConfig"]["PortBindings"], name


@pytest.mark.parametrize("case", [case for case in RECORDED if case != "deploy-restart"])
def test_engine_restart_policy(case: str) -> None:
    spec = translated(case)
    for name, expected in created(case).items():
        ours = spec.services[name].container.config["HostConfig"].get("RestartPolicy", {})
        theirs = expected["HostConfig"]["RestartPolicy"]
        assert said(ours) == ({} if theirs["Name"] == "no" else said(theirs)), name


@pytest.mark.parametrize("case", RECORDED)
def test_networks(case: str) -> None:
    spec = translated(case)
    for name, expected in created(case).items():
        container = spec.services[name].container
        endpoints = (expected.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        if not endpoints:
            check_mode(spec.services[name], expected["HostConfig"]["NetworkMode"])
            continue
        names = [spec.networks[attachment.network].name for attachment in container.networks]
        assert sorted(names) == sorted(endpoints)
        assert names[0] == expected["HostConfig"]["NetworkMode"]
        for attachment in container.networks:
            endpoint = endpoints[spec.networks[attachment.network].name]
            assert [name, *attachment.aliases] == endpoint["Aliases"][1:]
            ipam = endpoint["IPAMConfig"] or {}
            assert attachment.ipv4_address == ipam.get("IPv4Address", "")
            assert list(attachment.link_local_ips) == (ipam.get("LinkLocalIPs") or [])
            if case != "mac-address":
                assert attachment.mac_address == endpoint["MacAddress"]


def check_mode(service: ServiceSpec, mode: str) -> None:
    if mode.startswith("container:"):
        assert [share.what for share in service.container.sharing] == ["network"]
    else:
        assert service.container.network_mode == mode


def test_shared_namespaces_are_typed() -> None:
    services = translated("shared-namespaces").services
    assert [(share.what, share.service) for share in services["ipc"].container.sharing] == [("ipc", "main")]
    assert [(share.what, share.service) for share in services["pid"].container.sharing] == [("pid", "main")]
    assert services["main"].container.config["HostConfig"]["IpcMode"] == "shareable"
    host = translated("namespaces").services["host"].container.config["HostConfig"]
    assert (host["IpcMode"], host["PidMode"]) == ("host", "host")


def test_volumes_from_are_typed() -> None:
    sharing = translated("volumes-from").services["web"].container.sharing
    assert [(share.service, share.read_only) for share in sharing] == [("source", False), ("source2", True)]


def test_links_are_typed() -> None:
    assert translated("links").services["web"].links == ("db", "cache:redis")


def test_every_case_is_recorded() -> None:
    assert sorted(path.stem for path in (HERE / "cases").glob("*.yaml")) == RECORDED
    assert len(RECORDED) >= 50
