"""What the cluster decides is typed: counts, restarts, placement, files, sharing, sidekicks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from paddock.core.stack import Sources, stack_spec
from paddock.core.stack.quantities import nano_cpus, nanoseconds
from paddock.model.specs import (
    Dependency,
    FileMount,
    Placement,
    Resources,
    RestartPolicy,
    ServiceSpec,
    StackSpec,
    UpdatePolicy,
)


def spec(services: dict[str, dict[str, Any]], **rest: Any) -> StackSpec:
    base = {"image": "busybox", "networks": {"default": None}}
    document = {"name": "shop", "networks": {"default": {"name": "shop_default", "ipam": {}}}} | rest
    document["services"] = {name: base | service for name, service in services.items()}
    files = {"/srv/shop/password": b"hunter2"}
    return stack_spec(document, Sources(files.__getitem__, {"TOKEN": "t0p"}, hashes={"web": "abc"})).spec


def web(**service: Any) -> ServiceSpec:
    return spec({"web": service}).services["web"]


@pytest.mark.parametrize(
    ("service", "policy", "engine"),
    [
        ({}, RestartPolicy(condition="on-failure"), None),
        ({"restart": "no"}, RestartPolicy(condition="none"), None),
        ({"restart": "always"}, RestartPolicy(condition="any", engine=True), {"Name": "always"}),
        ({"restart": "unless-stopped"}, RestartPolicy(condition="any", engine=True), {"Name": "unless-stopped"}),
        ({"restart": "on-failure:3"}, RestartPolicy(condition="on-failure", max_attempts=3, engine=True),
         {"Name": "on-failure", "MaximumRetryCount": 3}),
        ({"restart": "always", "deploy": {"restart_policy": {"condition": "on-failure", "delay": "5s",
          "max_attempts": 3, "window": "2m0s"}}},
         RestartPolicy(condition="on-failure", delay_s=5, max_attempts=3, window_s=120), None),
        ({"deploy": {"restart_policy": {"delay": "1.5s"}}}, RestartPolicy(condition="any", delay_s=1.5), None),
        ({"deploy": {"restart_policy": {"condition": "none"}}}, RestartPolicy(condition="none"), None),
    ],
)  # fmt: skip
def test_restart(service: dict[str, Any], policy: RestartPolicy, engine: dict[str, Any] | None) -> None:
    translated = web(**service)
    assert translated.restart == policy
    assert translated.container.config["HostConfig"].get("RestartPolicy") == engine


@pytest.mark.parametrize(
    ("service", "mode", "replicas"),
    [
        ({}, "replicated", 1),
        ({"scale": 3}, "replicated", 3),
        ({"scale": 0}, "replicated", 0),
        ({"deploy": {"replicas": 4}}, "replicated", 4),
        ({"scale": 2, "deploy": {"replicas": 2}}, "replicated", 2),
        ({"deploy": {"mode": "global"}}, "global", 1),
        ({"deploy": {"mode": "replicated-job", "replicas": 5}}, "replicated-job", 5),
        ({"labels": {"io.rancher.scheduler.global": "true"}}, "global", 1),
    ],
)
def test_count(service: dict[str, Any], mode: str, replicas: int) -> None:
    translated = web(**service)
    assert (translated.mode, translated.replicas) == (mode, replicas)


def test_update_and_rollback() -> None:
    update = {
        "parallelism": 0,
        "delay": "10s",
        "failure_action": "rollback",
        "monitor": "30s",
        "max_failure_ratio": 0.25,
    }
    translated = web(deploy={"update_config": update | {"order": "start-first"}, "rollback_config": {"parallelism": 2}})
    assert translated.update == UpdatePolicy(
        parallelism=0, delay_s=10, failure_action="rollback", monitor_s=30, max_failure_ratio=0.25, order="start-first"
    )
    assert translated.rollback == UpdatePolicy(parallelism=2)
    assert web().update == UpdatePolicy()


def test_placement() -> None:
    declared = {
        "constraints": ["node.labels.zone == a", "~node.hostname!=h9"],
        "preferences": [{"spread": "node.labels.rack"}],
        "max_replicas_per_node": 2,
    }
    own = {"placement": {"affinities": ["~service!=db", "label:tier==front"], "strategy": "binpack"}}
    assert web(**{"deploy": {"placement": declared}, "x-paddock": own}).placement == Placement(
        constraints=("node.labels.zone==a", "~node.hostname!=h9"),
        affinities=("~service!=db", "label:tier==front"),
        preferences=("node.labels.rack",),
        max_per_host=2,
        strategy="binpack",
    )


def test_placement_as_rancher_wrote_it() -> None:
    prefix = "io.rancher.scheduler.affinity:"
    labels = {
        f"{prefix}host_label": "zone=a, disk=ssd",
        f"{prefix}host_label_soft_ne": "old=true",
        f"{prefix}container_label_ne": "io.rancher.stack_service.name=${stack_name}/${service_name}",
        f"{prefix}container_label_soft": "tier=front",
        f"{prefix}container": "shop-db-1",
    }
    assert web(labels=labels).placement == Placement(
        constraints=("node.labels.zone==a", "node.labels.disk==ssd", "~node.labels.old!=true"),
        affinities=("container==shop-db-1", "service!=web", "~label:tier==front"),
    )


def test_reservations() -> None:
    resources = {"reservations": {"cpus": 0.25, "memory": "20971520"}}
    assert web(deploy={"resources": resources}).reservation == Resources(cpu_milli=250, memory_bytes=20971520)
    assert web(mem_reservation="1048576").reservation == Resources(memory_bytes=1048576)


def test_files() -> None:
    secrets = [{"source": "password"}, {"source": "token", "target": "renamed", "uid": "103", "mode": 256}]
    configs = [{"source": "app"}, {"source": "app", "target": "etc/app.conf"}, {"source": "shared", "target": "/x"}]
    stack = spec(
        {"web": {"secrets": secrets, "configs": configs}},
        secrets={"password": {"file": "/srv/shop/password"}, "token": {"environment": "TOKEN", "name": "shop_token"}},
        configs={"app": {"content": "a = 1\n"}, "shared": {"external": True, "name": "shared-everywhere"}},
    )
    assert stack.services["web"].container.files == (
        FileMount(kind="secret", source="password", target="/run/secrets/password"),
        FileMount(kind="secret", source="token", target="/run/secrets/renamed", uid="103", mode=0o400),
        FileMount(kind="config", source="app", target="/app"),
        FileMount(kind="config", source="app", target="/etc/app.conf"),
        FileMount(kind="config", source="shared", target="/x"),
    )
    assert [stack.secrets["password"].content, stack.secrets["token"].content] == [b"hunter2", b"t0p"]
    assert stack.configs["app"].content == b"a = 1\n"
    assert (stack.configs["shared"].external, stack.configs["shared"].content) == (True, None)


def test_containers_of_other_stacks_say_the_host() -> None:
    service = {"network_mode": "container:vpn", "ipc": "container:vpn", "volumes_from": ["container:data:ro"]}
    translated = web(**service)
    assert translated.container.network_mode == "container:vpn"
    assert translated.container.config["HostConfig"]["IpcMode"] == "container:vpn"
    assert translated.container.config["HostConfig"]["VolumesFrom"] == ["data:ro"]
    assert translated.placement.affinities == ("container==vpn", "container==data")


def test_container_of_this_stack_is_its_service() -> None:
    stack = spec({"web": {"network_mode": "container:the-db"}, "db": {"container_name": "the-db"}})
    (sharing,) = stack.services["web"].container.sharing
    assert (sharing.what, sharing.service) == ("network", "db")


def test_engine_networks_by_their_external_name() -> None:
    stack = spec({"web": {"networks": {"hostnet": None}}}, networks={"hostnet": {"external": True, "name": "host"}})
    assert stack.services["web"].container.network_mode == "host"
    assert stack.networks == {}


def test_dependencies() -> None:
    depends = {"db": {"condition": "service_healthy", "required": True, "restart": True}}
    stack = spec({"web": {"depends_on": depends}, "db": {"healthcheck": {"test": ["CMD", "true"]}}})
    assert stack.services["web"].depends_on == (Dependency(service="db", condition="service_healthy", restart=True),)
    assert stack.services["db"].container.has_healthcheck
    assert not web(healthcheck={"test": ["NONE"]}).container.has_healthcheck


def test_sidekicks_join_their_primary() -> None:
    depends = {"data": {"condition": "service_started"}, "db": {"condition": "service_started"}}
    stack = spec(
        {
            "web": {"labels": {"io.rancher.sidekicks": "data, agent"}, "volumes_from": ["data"], "depends_on": depends},
            "data": {"command": ["true"]},
            "agent": {"network_mode": "service:web"},
            "db": {},
            "api": {"depends_on": {"agent": {"condition": "service_started"}}},
        }
    )
    assert list(stack.services) == ["web", "db", "api"]
    assert list(stack.services["web"].sidekicks) == ["data", "agent"]
    assert stack.services["web"].depends_on == (Dependency(service="db"),)
    assert stack.services["api"].depends_on == (Dependency(service="web"),)


def test_labels_let_tools_recognise_containers() -> None:
    assert web(labels={"a": "b"}).container.config["Labels"] == {
        "a": "b",
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.version": "2.26.1",
        "com.docker.compose.depends_on": "",
        "com.docker.compose.config-hash": "abc",
    }


def test_devices_and_gpus_of_newer_files() -> None:
    host = web(devices=[{"source": "/dev/null", "target": "/dev/x", "permissions": "r"}, "acme.com/card=0"], gpus="all")
    assert host.container.config["HostConfig"]["Devices"] == [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}
    ]
    assert host.container.config["HostConfig"]["DeviceRequests"] == [
        {"Capabilities": [["gpu"]], "Count": -1},
        {"Driver": "cdi", "DeviceIDs": ["acme.com/card=0"]},
    ]


def test_travels_unchanged() -> None:
    stack = spec({"web": {"healthcheck": {"test": ["CMD", "true"], "interval": "1m30s"}, "init": False}})
    assert msgspec.json.decode(msgspec.json.encode(stack), type=StackSpec) == stack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1m30s", 90 * 10**9),
        ("1.5s", 1_500_000_000),
        ("0s", 0),
        ("1h1ms", 3_600_001_000_000),
        ("500µs", 500_000),
        (7, 7),
    ],
)
def test_durations(text: Any, expected: int) -> None:
    assert nanoseconds(text) == expected


@pytest.mark.parametrize(
    ("cpus", "expected"), [(0.1, 100_000_000), (1.3, 1_300_000_000), ("0.50", 500_000_000), (None, 0)]
)
def test_processors(cpus: Any, expected: int) -> None:
    assert nano_cpus(cpus) == expected
