"""What concerns the cluster as one engine: ping, version, info."""

from __future__ import annotations

from typing import Any

from paddock import __version__
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.forward import Asked, forward
from paddock.gateway.hosts import OLDEST_API, answered, api_text
from paddock.gateway.router import Router
from paddock.model.errors import PaddockError
from paddock.model.objects import Environment, Host, HostId

NO_CACHE = (("Cache-Control", "no-cache, no-store, must-revalidate"), ("Pragma", "no-cache"))
SUMS = ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "NCPU", "MemTotal")
IMAGE_IDS = "ImageIds"
"""Ours, on the way from a host's answer to the count of all."""
Json = dict[str, Any]


def register(router: Router) -> None:
    router.add("GET", "/_ping", ping)
    router.add("HEAD", "/_ping", ping)
    router.add("GET", "/version", version)
    router.add("GET", "/info", info)
    router.add("POST", "/auth", auth)


async def ping(call: Call) -> Answer:
    headers = (
        *NO_CACHE,
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
        ("Content-Type", "text/plain; charset=utf-8"),
    )
    return Answer(200, b"OK", headers)


async def version(call: Call) -> Answer:
    host = call.gateway.hosts.any(call.environment)
    found: Json = await call.cluster.engine(HostId(host.id)).json("GET", "/version")
    api = api_text(call.gateway.hosts.newest_api(call.environment))
    own = {"Name": "Paddock", "Version": __version__, "Details": {"ApiVersion": api}}
    components = [own, *(part for part in found.get("Components") or ())]
    for part in components[1:]:
        if part.get("Name") == "Engine":
            part["Details"] = {**(part.get("Details") or {}), "ApiVersion": api, "MinAPIVersion": api_text(OLDEST_API)}
    platform = {"Name": f"Paddock {__version__}"}
    return Answer(
        200,
        {**found, "Platform": platform, "Components": components, "ApiVersion": api,
         "MinAPIVersion": api_text(OLDEST_API)},
    )  # fmt: skip


async def info(call: Call) -> Answer:
    hosts = call.gateway.hosts
    everyone = hosts.all(call.environment)
    reachable = [host for host in everyone if call.cluster.connected(HostId(host.id))]

    async def ask(host: Host) -> Json:
        engine = call.cluster.engine(HostId(host.id))
        found: Json = await engine.json("GET", "/info")
        images = await engine.json("GET", "/images/json", query={"all": 1})
        return {**found, IMAGE_IDS: [image["Id"] for image in images]}

    found = await hosts.ask_each(reachable, ask)
    environment = call.cluster.snapshot().get(Environment, call.environment)
    name = environment.name if environment is not None else call.environment
    return Answer(200, merged_info(name, call.environment, everyone, found))


def merged_info(name: str, id: str, everyone: list[Host], found: list[tuple[Host, Json | PaddockError]]) -> Json:
    """The first host's words where all are alike; sums where they add up; every host in `SystemStatus`."""
    infos = {host.id: told for host, told in answered(found)}
    first = next(iter(infos.values()), {})
    images = {id for told in infos.values() for id in told.pop(IMAGE_IDS, ())}
    warnings = [f"{host.name}: {error}" for host, error in found if isinstance(error, PaddockError)]
    warnings += [f"host {host.name} is {host.state}" for host in everyone if host.id not in infos]
    return {
        **first,
        "ID": id,
        "Name": name,
        "ServerVersion": f"paddock/{__version__}",
        "Images": len(images),
        **{key: sum(int(told.get(key) or 0) for told in infos.values()) for key in SUMS},
        "Swarm": {"NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
                  "RemoteManagers": None},
        "DriverStatus": status_lines(everyone, infos),
        "SystemStatus": status_lines(everyone, infos),
        "Labels": [],
        "Warnings": warnings or None,
    }  # fmt: skip


def status_lines(everyone: list[Host], infos: dict[str, Json]) -> list[list[str]]:
    lines = [["Hosts", str(len(everyone))]]
    for host in everyone:
        told = infos.get(host.id, {})
        facts = host.facts
        labels = ", ".join(f"{key}={value}" for key, value in sorted(host.labels.items()))
        running = f"{told['ContainersRunning']} running" if "ContainersRunning" in told else ""
        lines += [
            [f" {host.name}", facts.address],
            ["  └ ID", host.id],
            ["  └ Status", f"{host.state}" + (", drained" if host.availability == "drained" else "")],
            ["  └ Containers", f"{told.get('Containers', 0)} ({running})" if told else "unknown"],
            ["  └ Capacity", f"{facts.cpus} CPUs, {facts.memory_bytes / 2**30:.1f} GiB memory"],
            ["  └ Labels", labels],
            ["  └ Engine", f"{facts.engine_version}, {facts.os}, kernel {facts.kernel}"],
        ]
    return lines


async def auth(call: Call) -> None:
    """Whether a registry takes the credentials is asked by any engine."""
    host = call.gateway.hosts.any(call.environment)
    await forward(call, Asked(host=HostId(host.id)))
