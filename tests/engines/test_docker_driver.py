"""The Docker driver against a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest

from engines.one_engine import IMAGE, Machine, machine, shared_machine
from paddock.drivers.docker import DockerEngine
from paddock.drivers.engine import ImageMissing, NameTaken, NetworkHeld, StepRefused
from paddock.model.assignment import ContainerAssignment, Endpoint, NetworkAssignment, VolumeAssignment
from paddock.model.errors import PaddockError
from paddock.model.objects import NetworkId, UnitId, VolumeId
from paddock.model.steps import (
    ConnectNetwork,
    CreateContainer,
    EnsureNetwork,
    EnsureVolume,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from paddock.wire.engine_http import EngineHttp, unix_dial
from paddock.world.world import machine_world
from waiting import until_async

__all__ = ["machine", "shared_machine"]
pytestmark = pytest.mark.engines
T = TypeVar("T")

UNIT = UnitId("service-1.1.1")
FRONT = NetworkAssignment(
    network=NetworkId("network-front"),
    engine_name="shop_front",
    subnet="10.99.0.0/20",
    gateway="10.99.0.1",
    ip_range="10.99.0.0/28",
    vni=4096,
    mtu=1450,
    labels={"com.docker.compose.network": "front"},
)
BACK = NetworkAssignment(
    network=NetworkId("network-back"),
    engine_name="shop_back",
    subnet="10.99.16.0/20",
    gateway="10.99.16.1",
    ip_range="10.99.16.0/28",
    vni=4097,
    mtu=1400,
    internal=True,
)


def on_engine(machine: Machine, work: Callable[[DockerEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        http = EngineHttp(unix_dial(str(machine.socket)))
        try:
            async with asyncio.timeout(60):
                return await work(DockerEngine(http, machine_world()))
        finally:
            await http.close()

    return asyncio.run(run())


def creation(**changes: Any) -> CreateContainer:
    values: dict[str, Any] = {"name": "shop-api-1", "image": IMAGE, "body": {"Cmd": ["sleep", "1000"]}, **changes}
    return CreateContainer(unit=UNIT, container=ContainerAssignment(**values))


def test_facts_are_the_engines(machine: Machine) -> None:
    facts = on_engine(machine, lambda engine: engine.facts())
    assert facts.cpus >= 1
    assert facts.memory_bytes > 2**28
    assert facts.engine_id == machine.api("GET", "/info")["ID"]
    assert facts.version == machine.api("GET", "/version")["Version"]


def test_what_was_asked_for_reaches_the_container_exactly(machine: Machine) -> None:
    body = {
        "Cmd": ["sleep", "1000"],
        "Env": ["A=1", "B=ünï"],
        "Labels": {"com.docker.compose.project": "shop", "long": "x" * 65536},
        "WorkingDir": "/bin",
        "StopTimeout": 3,
        "HostConfig": {
            "Memory": 64 * 2**20,
            "CapAdd": ["NET_ADMIN"],
            "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
            "PortBindings": {"80/tcp": [{"HostIp": "10.123.0.2", "HostPort": "8080"}]},
            "Dns": ["192.0.2.53"],
        },
        "ExposedPorts": {"80/tcp": {}},
    }

    async def work(engine: DockerEngine) -> str:
        return await engine.apply(creation(body=body, network_mode="bridge"))

    found = machine.inspect(on_engine(machine, work))
    config, host = found["Config"], found["HostConfig"]
    assert found["Name"] == "/shop-api-1"
    assert config["Env"][:2] == body["Env"]
    assert config["Labels"] == {
        **body["Labels"],  # type: ignore[dict-item]
        "io.paddock.unit": UNIT,
        "io.paddock.role": "",
        "io.paddock.name": "shop-api-1",
    }
    assert (config["WorkingDir"], config["StopTimeout"], config["Cmd"]) == ("/bin", 3, ["sleep", "1000"])
    for key, value in body["HostConfig"].items():  # type: ignore[attr-defined]
        assert host[key] == value, key
    assert host["NetworkMode"] == "bridge"


def test_several_networks_with_static_addresses(machine: Machine) -> None:
    endpoints = (
        Endpoint(network=FRONT.network, ipv4="10.99.1.7", mac="02:42:0a:63:01:07"),
        Endpoint(network=BACK.network, ipv4="10.99.17.9", mac="02:42:0a:63:11:09"),
    )

    async def work(engine: DockerEngine) -> str:
        for network in (FRONT, BACK, FRONT):
            await engine.apply(EnsureNetwork(network=network))
        step = creation(endpoints=endpoints)
        id = await engine.apply(
            CreateContainer(unit=UNIT, container=step.container, networks={n.network: n for n in (FRONT, BACK)})
        )
        seen = await engine.inspect(id)
        assert seen is not None
        if BACK.engine_name not in seen.networks:
            connect = ConnectNetwork(container=id, network=BACK.engine_name, ipv4="10.99.17.9", mac=endpoints[1].mac)
            await engine.apply(connect)
            await engine.apply(connect)
        await engine.apply(StartContainer(container=id))
        assert await engine.networks() == {FRONT.network: "shop_front", BACK.network: "shop_back"}
        return id

    found = machine.inspect(on_engine(machine, work))
    networks = found["NetworkSettings"]["Networks"]
    addresses = {name: (net["IPAddress"], net["MacAddress"]) for name, net in networks.items()}
    assert addresses == {
        "shop_front": ("10.99.1.7", "02:42:0a:63:01:07"),
        "shop_back": ("10.99.17.9", "02:42:0a:63:11:09"),
    }
    assert found["HostConfig"]["Dns"] == ["10.99.0.1"]
    assert found["HostConfig"]["DnsSearch"] == ["."]
    network = machine.api("GET", "/networks/shop_front")
    assert network["Options"]["com.docker.network.driver.mtu"] == "1450"
    assert network["Options"]["com.docker.network.bridge.name"] == "pdk1000"
    assert network["Labels"]["com.docker.compose.network"] == "front"
    assert machine.api("GET", "/networks/shop_back")["Internal"] is True


def test_a_network_of_the_hosts_own_is_not_taken(machine: Machine) -> None:
    machine.api("POST", "/networks/create", body={"Name": "shop_front", "Driver": "bridge"})
    with pytest.raises(StepRefused, match="shop_front of its own"):
        on_engine(machine, lambda engine: engine.apply(EnsureNetwork(network=FRONT)))


def test_a_network_with_other_settings_is_made_anew(machine: Machine) -> None:
    endpoint = Endpoint(network=FRONT.network, ipv4="10.99.1.7", mac="02:42:0a:63:01:07")

    async def work(engine: DockerEngine) -> None:
        await engine.apply(EnsureNetwork(network=FRONT))
        other = msgspec.structs.replace(FRONT, gateway="10.99.0.17", ip_range="10.99.0.16/28")
        there = msgspec.structs.replace(creation(endpoints=(endpoint,)), networks={FRONT.network: FRONT})
        id = await engine.apply(there)
        await engine.apply(StartContainer(container=id))
        with pytest.raises(NetworkHeld, match="shop-api-1"):
            await engine.apply(EnsureNetwork(network=other))
        await engine.apply(StopContainer(container=id, grace_s=0.0))
        await engine.apply(EnsureNetwork(network=other))

    on_engine(machine, work)
    assert machine.api("GET", "/networks/shop_front")["IPAM"]["Config"][0]["Gateway"] == "10.99.0.17"


def test_networks_and_volumes_go_when_unused(machine: Machine) -> None:
    volume = VolumeAssignment(volume=VolumeId("volume-1"), engine_name="shop_data", labels={"a": "b"})

    async def work(engine: DockerEngine) -> None:
        await engine.apply(EnsureVolume(volume=volume))
        await engine.apply(EnsureVolume(volume=volume))
        assert await engine.volumes() == {VolumeId("volume-1"): "shop_data"}
        await engine.apply(RemoveVolume(name="shop_data"))
        await engine.apply(RemoveVolume(name="shop_data"))
        await engine.apply(EnsureNetwork(network=FRONT))
        await engine.apply(RemoveNetwork(name="shop_front"))
        await engine.apply(RemoveNetwork(name="shop_front"))
        assert await engine.volumes() == {}
        assert await engine.networks() == {}

    on_engine(machine, work)


def test_what_the_engine_refuses_keeps_its_words(machine: Machine) -> None:
    async def work(engine: DockerEngine) -> None:
        with pytest.raises(ImageMissing, match="No such image: nowhere:1"):
            await engine.apply(creation(image="nowhere:1"))
        id = await engine.apply(creation())
        with pytest.raises(NameTaken, match="already in use"):
            await engine.apply(creation())
        await engine.apply(RenameContainer(container=id, name="aside"))
        await engine.apply(creation())
        bad = await engine.apply(creation(name="bad", body={"Cmd": ["no-such-program"]}))
        with pytest.raises(StepRefused, match="no-such-program"):
            await engine.apply(StartContainer(container=bad))
        with pytest.raises(StepRefused):
            await engine.apply(creation(name="worse", body={"HostConfig": {"Memory": 5}}))

    on_engine(machine, work)


def test_a_pull_without_a_registry_says_why(machine: Machine) -> None:
    async def work(engine: DockerEngine) -> None:
        with pytest.raises(PaddockError) as caught:
            await engine.apply(PullImage(unit=UNIT, role="", image="localhost:1/nothing:1"))
        assert "connection refused" in caught.value.message

    on_engine(machine, work)


def test_an_image_that_is_there_is_not_pulled(machine: Machine) -> None:
    on_engine(machine, lambda engine: engine.apply(PullImage(unit=UNIT, role="", image=IMAGE)))


def test_steps_may_be_repeated(machine: Machine) -> None:
    async def work(engine: DockerEngine) -> None:
        id = await engine.apply(creation(body={"Cmd": ["sleep", "1000"], "Volumes": {"/data": {}}}))
        for _ in range(2):
            await engine.apply(StartContainer(container=id))
        seen = await engine.inspect(id)
        assert seen is not None
        assert (seen.state, seen.unit, seen.started_at_s > 0) == ("running", UNIT, True)
        for _ in range(2):
            await engine.apply(StopContainer(container=id, grace_s=0))
        seen = await engine.inspect(id)
        assert seen is not None
        assert (seen.state, seen.exit_code) == ("exited", 137)
        for _ in range(2):
            await engine.apply(RemoveContainer(container=id))
        assert await engine.inspect(id) is None
        assert await engine.containers() == ()

    on_engine(machine, work)
    assert not machine.api("GET", "/volumes")["Volumes"]


def test_following_begins_with_a_mark_and_names_what_changed(machine: Machine) -> None:
    async def work(engine: DockerEngine) -> None:
        heard: list[str] = []

        async def listen() -> None:
            async for id in engine.follow():
                heard.append(id)

        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            await until_async(lambda: heard[:1] == [""], "it follows")
            id = await engine.apply(creation(body={"Cmd": ["false"]}))
            await engine.apply(StartContainer(container=id))
            await until_async(lambda: heard.count(id) >= 3, "create, start and die were heard")
            listening.cancel()
        seen = await engine.inspect(id)
        assert seen is not None
        assert (seen.state, seen.exit_code) == ("exited", 1)

    on_engine(machine, work)


def test_an_image_committed_from_a_container_of_ours_makes_none_of_ours(machine: Machine) -> None:
    async def work(engine: DockerEngine) -> None:
        id = await engine.apply(creation())
        seen = await engine.inspect(id)
        assert seen is not None
        assert seen.unit == UNIT

    on_engine(machine, work)
    machine.api("POST", "/commit", query={"container": "shop-api-1", "repo": "copy", "tag": "1"}, body={})
    made = machine.api("POST", "/containers/create", query={"name": "mine"}, body={"Image": "copy:1"})
    seen = on_engine(machine, lambda engine: engine.inspect(made["Id"]))
    assert seen is not None
    assert seen.unit is None
    machine.empty()
    machine.api("DELETE", "/images/copy:1")
